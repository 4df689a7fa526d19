// SPDX-License-Identifier: BSD-2-Clause
//
// The short way of a message of which something comes back when it is acknowledged: the program's
// buffer, which it lent, or a staging buffer that it was copied to. It leaves at once and alone; if
// it can not, or there is anything else to be done, the long way does (socket_send.cc).
#include <cstring>

#include "socket/plain_send.h"

namespace sio::internal {

[[gnu::always_inline]] inline bool Sender::may_post_laden(size_t length) const noexcept {
  if (length - 1 >= limits_.peer_slot_size) return false;
  const bool may_leave = ahead_ < plain_window_ || !train_.gathers(static_cast<uint32_t>(length));
  return may_leave && (plain_left_ > 0 || may_begin_row());
}

[[gnu::always_inline]] inline bool Sender::post_lent(const void* data, uint32_t length,
                                                     uint32_t lkey) noexcept {
  plain_sge_ = {reinterpret_cast<uintptr_t>(data), length, lkey};
  if (length > link_.queue_pair->max_inline()) plain_.send_flags = IBV_SEND_SOLICITED;
  return post_laden(length, {nullptr, 1}, true);
}

[[gnu::always_inline]] inline bool Sender::post_staged(StagingBuffer* buffer,
                                                       uint32_t length) noexcept {
  plain_sge_ = {reinterpret_cast<uintptr_t>(buffer->data), length, buffer->lkey};
  plain_.send_flags = IBV_SEND_SOLICITED;
  const Posted posted{buffer, 0};
  return post_laden(length, posted, wants_signal(posted, false));
}

// They stand in one row with the plain ones: as long as there may be more in it nothing is owed to
// the peer.
[[gnu::always_inline]] inline bool Sender::post_laden(uint32_t length, Posted posted,
                                                      bool signal) noexcept {
  if (plain_left_ > 0) {
    ++plain_.wr_id;
    --plain_left_;
  } else {
    begin_row();
    signal |= plain_signal_;
  }
  if (signal) plain_.send_flags |= IBV_SEND_SIGNALED;
  const int error = post_as_plain(length);
  unsignalled_ = signal ? 0 : unsignalled_ + 1;
  note_laden(posted, posted_ - 1);
  make_plain();
  return has_posted(error);
}

bool Socket::send_laden(Channel* in, int fd, const void* buf, size_t size, int flags) noexcept {
  if (!is_open_at(fd, in) || !sender_->may_post_laden(size)) return false;
  const auto length = static_cast<uint32_t>(size);
  const bool release = (flags & SIO_RELEASE) != 0;
  bool posted;
  if (Area* const area = sending_area(buf)) {
    Flight flight;
    if (!outcomes_.make_room() || area->begin_flight(buf, size, flight, release) != 0) return false;
    posted = sender_->post_lent(buf, length, key_of(*area));
    outcomes_.add({.buf = buf, .len = size, .flight = flight, .release = release});
  } else {
    if (release || size > options_.copy_max) return false;
    StagingBuffer* const buffer = link_.staging->take(link_.buffers_held);
    if (buffer == nullptr) return false;
    std::memcpy(buffer->data, buf, size);
    posted = sender_->post_staged(buffer, length);
  }
  if (!posted) after_sending();
  return true;
}

}  // namespace sio::internal
