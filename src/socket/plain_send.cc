// SPDX-License-Identifier: BSD-2-Clause
//
// Plain messages: the one in sixteen that has something else about it.
#include "socket/plain_send.h"

#include <algorithm>

namespace sio::internal {

// How many: what is heard meanwhile only makes them more. Their work_ids count up, so they end
// where those of another connection would begin. The one that comes now is none of them: what is
// owed rides in it, and it is signalled if one must be, or soon must.
bool Sender::renew_plain(size_t length) noexcept {
  if (length - 1 >= plain_most_ || ahead_ >= plain_window_) return false;
  if (!train_.empty() || !rest_.empty() || !can_post_data()) return false;
  plain_signal_ = unsignalled_ >= plain_unsignalled_ / 2;
  const uint32_t room = std::min({limits_.quota - in_flight(), data_credits_, credits_ - 2,
                                  wire::kWorkIdMask + 1 - (posted_ & wire::kWorkIdMask)});
  const uint32_t before_signal = plain_unsignalled_ - (plain_signal_ ? 0 : unsignalled_ + 1);
  plain_left_ = std::min(room - 1, before_signal);
  return true;
}

bool Sender::post_renewed(const void* data, uint32_t length) noexcept {
  plain_sge_.addr = reinterpret_cast<uintptr_t>(data);
  plain_sge_.length = length;
  plain_.wr_id = link_.work_id(wire::Work::kSend, posted_);
  plain_.imm_data = take_owed(wire::Kind::kMessage);
  plain_.send_flags |= plain_signal_ ? IBV_SEND_SIGNALED : 0;
  unsignalled_ = plain_signal_ ? 0 : unsignalled_ + 1;
  const bool posted = post_as_plain(length);
  plain_.send_flags = IBV_SEND_SOLICITED | IBV_SEND_INLINE;
  plain_.imm_data = wire::encode_immediate({wire::Kind::kMessage, 0});
  return posted;
}

}  // namespace sio::internal
