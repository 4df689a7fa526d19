// SPDX-License-Identifier: BSD-2-Clause
//
// Plain messages come in rows: the first, one in sixteen, has something else about it.
#include "socket/plain_send.h"

#include <algorithm>

namespace sio::internal {
namespace {

// By then a device has done what was posted before, unless it is held up, of which the quota takes
// care.
constexpr milliseconds kSettled{1};

}  // namespace

// Twice in a row, since after a pause one message is late and those that follow it are a burst. Of
// many connections that send in turn a third of all SENDs would be signalled for the window alone.
// (What was found at the last look may be old: then one more message of a burst leaves alone.)
void Sender::see_whether_settled() noexcept {
  const TimePoint now = Clock::now();
  const bool late = now - asked_ > kSettled;
  if (late && slow_) ahead_ = plain_window_ - 1;
  slow_ = late;
  asked_ = now;
}

// What all plain ones have in common, but for the first of a row.
void Sender::make_plain() noexcept {
  plain_.send_flags = IBV_SEND_SOLICITED | IBV_SEND_INLINE;
  plain_.imm_data = wire::encode_immediate({wire::Kind::kMessage, 0});
}

bool Sender::may_begin_row() const noexcept {
  return train_.empty() && rest_.empty() && can_post_data();
}

// How long it is: what is heard meanwhile only makes it longer. Their work_ids count up, so they
// end where those of another connection would begin. The first is not counted: what is owed rides
// in it, and it is signalled if one must be, or soon must.
void Sender::begin_row() noexcept {
  plain_signal_ = unsignalled_ >= plain_unsignalled_ / 2;
  const uint32_t room = std::min({limits_.quota - in_flight(), data_credits_, credits_ - 2,
                                  wire::kWorkIdMask + 1 - (posted_ & wire::kWorkIdMask)});
  const uint32_t before_signal = plain_unsignalled_ - (plain_signal_ ? 0 : unsignalled_ + 1);
  plain_.wr_id = link_.work_id(wire::Work::kSend, posted_);
  plain_.imm_data = take_owed(wire::Kind::kMessage);
  plain_left_ = std::min(room - 1, before_signal);
}

bool Sender::post_first_plain(const void* data, uint32_t length) noexcept {
  begin_row();
  plain_sge_.addr = reinterpret_cast<uintptr_t>(data);
  plain_sge_.length = length;
  plain_.send_flags |= plain_signal_ ? IBV_SEND_SIGNALED : 0;
  const int error = post_as_plain(length);
  unsignalled_ = plain_signal_ ? 0 : unsignalled_ + 1;
  make_plain();
  return has_posted(error);
}

}  // namespace sio::internal
