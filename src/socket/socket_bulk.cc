// SPDX-License-Identifier: BSD-2-Clause
//
// Messages larger than a slot: how the lane for them comes to be, and how they get onto it.
#include "base/log.h"
#include "socket/socket.h"

namespace sio::internal {

// 0 or -errno.
int Socket::open_lane() noexcept {
  if (lane_ != nullptr) return 0;
  BulkTurns* const turns = shared_ != nullptr ? &shared_->turns() : nullptr;
  try {
    lane_ = std::make_unique<BulkLane>(*endpoint_, link_, outcomes_, pool(), turns, this);
  } catch (const std::system_error& error) {
    LOG_ERROR("no queue pair for large messages: %s", error.what());
    return -error.code().value();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  receiver_->set_bulk(&lane_->receiver);
  sender_->set_bulk(&lane_->sender, &lane_->receiver);
  sender_->tell_lane(lane_->address(), lane_->address_key());
  tend();  // who sends should not have to wait for this program's calls
  return 0;
}

// 0 or -errno; -EAGAIN also as long as the peer does not know of the lane.
int Socket::send_bulk(const Gather& gather, bool more) noexcept {
  if (!outcomes_.make_room(gather.lent)) return -EAGAIN;
  if (lane_ == nullptr) {
    if (const int error = open_lane()) return error;
    sender_->pump(false);
    after_sending();
    if (phase_ == Phase::kEnding || phase_ == Phase::kEnded) return -EPIPE;
  }
  if (!sender_->lane_told()) return -EAGAIN;
  if (const int error = lane_->sender.stage(gather)) return error;
  if (const int error = sender_->announce(gather.length, more)) {
    lane_->sender.give_up();
    return error;
  }
  lane_->sender.announced(gather);
  return 0;
}

int Socket::send_bulk(const OutgoingMessage& message, bool more) noexcept {
  return send_bulk(Gather::of(message), more);
}

bool Socket::has_room_for(const Wanted& wanted) const noexcept {
  if (datagram_ != nullptr) return may_send_datagram(datagram_->wanted, wanted);
  if (sender_ == nullptr || !sender_->has_room(wanted.records)) return false;
  if (sender_->fits(wanted.length) || lane_ == nullptr) return true;
  // What is copied takes a buffer besides that of the train with the announcement.
  const bool buffers = !wanted.copied || link_.staging->may_take(link_.buffers_held, 2);
  return buffers && sender_->lane_told() && lane_->sender.has_room();
}

// The peer says where its end is. False: not in a way that it may.
bool Socket::lane_frame(uint32_t slot, uint32_t length) noexcept {
  wire::LaneAddress peer;
  if (!wire::decode_lane_address(receiver_->peek_control(slot), length, peer)) return false;
  if (lane_failed_) return false;  // a second one
  int error = open_lane();
  if (error == 0 && !lane_->connect(peer, error)) return false;
  if (error == 0) return true;
  lane_failed_ = true;
  begin_ending(-error, true);  // not by its own fault: what it has sent besides is taken
  return true;
}

bool Socket::take_grants(uint32_t n) noexcept {
  return n == 0 ||
         (lane_ != nullptr && lane_->connected() && lane_->sender.granted(n, sender_->announced()));
}

// Grants what there is memory for, and sends what is granted.
void Socket::advance_bulk() noexcept {
  if (lane_ == nullptr) return;
  const int granted = lane_->receiver.grant();
  if (granted < 0) return begin_ending(-granted, true);
  sender_->owe_grants(static_cast<uint32_t>(granted));
  if (const int error = lane_->sender.pump()) begin_ending(error, true);
}

}  // namespace sio::internal
