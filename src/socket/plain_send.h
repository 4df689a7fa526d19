// SPDX-License-Identifier: BSD-2-Clause
//
// Sender: the short way of a message that is copied, of which nobody wants to hear, and beside
// which there is nothing to be done. It is part of sio_send, all of it: what such a message costs
// is mostly what lies between functions, so there are none.
#pragma once

#include "socket/sender.h"

namespace sio::internal {

[[gnu::always_inline]] inline Sender::Plain Sender::send_plain(const void* data, size_t length,
                                                               bool alone) noexcept {
  if (length == 0) return Plain::kNot;
  if (plain_left_ > 0 || train_.empty()) {
    if (length > plain_most_ || ahead_ + 2 >= limits_.window) return Plain::kNot;
    if (plain_left_ == 0) plain_left_ = plain_room();
    return plain_left_ > 0 ? post_plain(data, static_cast<uint32_t>(length)) : Plain::kNot;
  }
  if (!rest_.empty() || alone || window_open() || length > kCopyInTrain) return Plain::kNot;
  const auto bytes = static_cast<uint32_t>(length);
  if (!train_.has_room(bytes, true)) return Plain::kNot;
  train_.add_copy(data, bytes);
  count_message(bytes);
  return Plain::kInTrain;
}

// As post_message() of one that is inlined, while the window is far from closed. Nothing comes
// back.
[[gnu::always_inline]] inline Sender::Plain Sender::post_plain(const void* data,
                                                               uint32_t length) noexcept {
  ibv_sge sge{reinterpret_cast<uintptr_t>(data), length, 0};
  const bool signal = unsignalled_ + 1 >= plain_unsignalled_;
  send_.sg_list = &sge;
  send_.num_sge = 1;
  send_.send_flags = IBV_SEND_SOLICITED | IBV_SEND_INLINE;
  if (signal) send_.send_flags |= IBV_SEND_SIGNALED;
  send_.wr_id = link_.work_id(wire::Work::kSend, posted_);
  const bool owes = (owed_data_ | owed_control_ | owed_grants_) != 0;
  send_.imm_data =
      owes ? take_owed(wire::Kind::kMessage) : wire::encode_immediate({wire::Kind::kMessage, 0});
  messages_end_ = ++posted_;
  --plain_left_;
  ++ahead_;
  --credits_;
  --data_credits_;
  unsignalled_ = signal ? 0 : unsignalled_ + 1;
  ++link_.info.sends_posted;
  count_message(length);
  link_.hub->posted();
  ibv_send_wr* bad;
  const int error = link_.queue_pair->post_send(&send_, &bad);
  if (error == 0) return Plain::kPosted;
  post_error_ = -error;
  stir();
  return Plain::kFailed;
}

}  // namespace sio::internal
