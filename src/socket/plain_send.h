// SPDX-License-Identifier: BSD-2-Clause
//
// Sender: the short way of a message that is copied, of which nobody wants to hear, and beside
// which there is nothing to be done. It is part of sio_send, all of it: what such a message costs
// is mostly what lies between functions, so there are none.
#pragma once

#include "socket/sender.h"

namespace sio::internal {

// While the window is far from closed. (An empty one is none of these: it has nothing to gather.)
[[gnu::always_inline]] inline bool Sender::may_post_plain(size_t length) noexcept {
  return length - 1 < plain_most_ && ahead_ < plain_window_ && (plain_left_ > 0 || renew_plain());
}

// As post_message() of one that is inlined. Nothing comes back.
[[gnu::always_inline]] inline bool Sender::post_plain(const void* data, uint32_t length) noexcept {
  plain_sge_.addr = reinterpret_cast<uintptr_t>(data);
  plain_sge_.length = length;
  plain_.wr_id = link_.work_id(wire::Work::kSend, posted_);
  plain_.send_flags = IBV_SEND_SOLICITED | IBV_SEND_INLINE;
  if (++unsignalled_ >= plain_unsignalled_) {
    plain_.send_flags |= IBV_SEND_SIGNALED;
    unsignalled_ = 0;
  }
  messages_end_ = ++posted_;
  --plain_left_;
  ++ahead_;
  --credits_;
  --data_credits_;
  ++link_.info.sends_posted;
  count_message(length);
  link_.hub->posted();
  ibv_send_wr* bad;
  const int error = link_.queue_pair->post_send(&plain_, &bad);
  if (error == 0) [[likely]]
    return true;
  post_error_ = -error;
  stir();
  return false;
}

[[gnu::always_inline]] inline bool Sender::add_plain(const void* data, size_t length,
                                                     bool alone) noexcept {
  const bool waits = !alone && !train_.empty() && rest_.empty() && !window_open();
  if (!waits || length == 0 || length > std::min(kCopyInTrain, limits_.copy_max)) return false;
  const auto bytes = static_cast<uint32_t>(length);
  if (!train_.has_room(bytes, true)) return false;
  train_.add_copy(data, bytes);
  count_message(bytes);
  return true;
}

}  // namespace sio::internal
