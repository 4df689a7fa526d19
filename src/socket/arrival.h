// SPDX-License-Identifier: BSD-2-Clause
//
// The short way of a message that comes while a program looks for an event. Where latency counts
// most are so: alone, at rest, and there is nothing else to be done or to be told. It is part of
// ec_next_event, all of it (plain_send.h says why).
#pragma once

#include "socket/socket.h"

namespace sio::internal {

[[gnu::always_inline]] inline bool Socket::is_arrival(const ibv_wc& wc) noexcept {
  return wire::decode_work_id(wc.wr_id).kind == wire::Work::kReceive &&
         wc.status == IBV_WC_SUCCESS && wc.opcode == IBV_WC_RECV &&
         (wc.wc_flags & IBV_WC_WITH_IMM) != 0;
}

[[gnu::always_inline]] inline bool Socket::may_arrive_at_rest() const noexcept {
  return !rare_.any() && outcomes_.all_told() && receiver_->empty();
}

// True: it has done all there is to be done about the completion, and describes it in `place`.
[[gnu::always_inline]] inline bool Socket::complete_one_at_rest(CompletionHandler& handler,
                                                                const ibv_wc& wc,
                                                                event_data_t* place) noexcept {
  if (!handler.is_socket()) return false;
  auto& socket = static_cast<Socket&>(handler);
  if (!is_arrival(wc)) [[unlikely]]
    return socket.complete_send_at_rest(wc, place);
  if (!socket.may_arrive_at_rest()) return false;
  if (socket.is_stream() || !socket.sender_->rests_after(wc.imm_data)) [[unlikely]]
    return socket.complete_nearly_at_rest(wc, place);
  socket.sender_->hear_at_rest();
  ++socket.frames_seen_;
  const uint32_t slot = wire::decode_work_id(wc.wr_id).index;
  socket.describe(*place, socket.receiver_->deliver(slot, wc.byte_len));
  return true;
}

}  // namespace sio::internal
