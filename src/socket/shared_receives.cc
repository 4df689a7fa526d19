// SPDX-License-Identifier: BSD-2-Clause
#include "socket/shared_receives.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "socket/share.h"

namespace sio::internal {
namespace {

constexpr uint32_t kMostRecalls = 64;  // at once: the lock is held meanwhile

}  // namespace

SharedReceives::SharedReceives(Channel& channel, const Geometry& geometry)
    : channel_(channel),
      geometry_(geometry),
      region_(Region::create(*geometry.area, size_t{geometry.slots} * geometry.slot_size,
                             geometry.slot_size, geometry.slots)),
      turns_(channel),
      leases_(geometry.slots) {
  try {
    holders_.resize(geometry.slots);
    unposted_.reserve(geometry.slots);
    for (uint32_t slot = geometry.slots; slot > 0;) unposted_.push_back(--slot);
    const size_t rest = geometry.bytes - size_t{geometry.slots} * geometry.slot_size;
    if (rest >= geometry.slot_size + kLine) {  // else no message would go there
      pool_ = std::make_unique<BulkPool>(*geometry.area, rest);
      pool_->set_on_freed(note, &channel);
    }
  } catch (...) {
    region_->detach();
    throw;
  }
  // A slot that comes back may be the one that a connection with the least waits for.
  region_->set_on_returned(note, &channel, 1);
}

SharedReceives::~SharedReceives() {
  drop_queue();
  for (CompletionHub::Seat& seat : seats_) channel_.hub().leave(seat);
  region_->detach();
}

void SharedReceives::open(provider::Device& device) {
  if (queue_ != nullptr) return;
  // What is left of an earlier queue would take the room of this one's completions.
  for (uint32_t n = 0; !seats_.empty() && n < geometry_.slots; n += CompletionHub::kMostAtOnce) {
    channel_.progress();
  }
  auto queue = device.create_shared_receive_queue(geometry_.slots);
  seats_.reserve(1);
  if (seats_.empty()) seats_.push_back(channel_.hub().join(device, geometry_.slots, this));
  queue_ = std::move(queue);
  device_ = &device;
  chain_.prepare(*region_, region_->area().lkey(device.index()));
  // What is not solicited takes receives all the same, which others may be waiting for: it has to
  // wake who sleeps.
  channel_.hub().posted();
  if (const int error = repost()) throw_errno(-error, "posting shared receives");
}

void SharedReceives::drop_queue() noexcept {
  if (queue_ == nullptr) return;
  queue_.reset();
  channel_.hub().completed();
}

void SharedReceives::close() noexcept {
  if (queue_ == nullptr) return;
  drop_queue();
  channel_.hub().disown(seats_[0]);
  unposted_.clear();
  for (uint32_t slot = geometry_.slots; slot > 0;) {
    if (holders_[--slot] == nullptr) unposted_.push_back(slot);
  }
}

// Each completion queue has room for all shared receives, since a hostile peer may use them all.
CompletionHub::Seat SharedReceives::join(uint32_t entries, CompletionHandler* handler) {
  CompletionHub& hub = channel_.hub();
  for (const CompletionHub::Seat& seat : seats_) {
    if (const auto beside = hub.join_beside(seat, entries, handler)) return beside;
  }
  seats_.reserve(seats_.size() + 1);
  seats_.push_back(hub.join(*device_, geometry_.slots, this, entries));
  return hub.join_beside(seats_.back(), entries, handler);
}

std::unique_ptr<Receives> SharedReceives::share(Link& link, CompletionHandler& socket) {
  auto made = std::make_unique<Share>(*this, link, socket);
  const bool opened = leases_.open(*made);
  if (!leases_.has_room()) recall_later();  // for this one, or the next
  if (!opened) throw_errno(ENOBUFS, "a share of receive memory");
  return made;
}

void SharedReceives::complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept {
  if (index >= geometry_.slots) return;
  const auto found = members_.find(wc.qp_num);
  if (found == members_.end()) return give_back(index);
  channel_.hub().touch(&found->second->socket());
  found->second->complete(kind, index, wc);
}

void SharedReceives::settle() noexcept {
  if (const int error = repost()) LOG_ERROR("posting shared receives: %s", errno_text(-error));
  serve();
}

void SharedReceives::look() noexcept {
  settle();
  if (recalls_ != kNever && Clock::now() >= recalls_) recall();
  turns_.serve();
}

void SharedReceives::give_back(uint32_t slot) noexcept {
  if (Leases::Lease* holder = std::exchange(holders_[slot], nullptr)) leases_.returned(*holder);
  unposted_.push_back(slot);
}

int SharedReceives::repost() noexcept {
  uint32_t slots[ReceiveChain::kMost];
  int n;
  while ((n = region_->collect(slots, ReceiveChain::kMost)) > 0) {
    for (int i = 0; i < n; ++i) {
      Leases::Lease* const holder = holders_[slots[i]];
      if (holder != &gone_) attend(static_cast<Share&>(*holder));
      give_back(slots[i]);
    }
  }
  while (queue_ != nullptr && !unposted_.empty()) {
    const auto most =
        static_cast<uint32_t>(std::min<size_t>(unposted_.size(), ReceiveChain::kMost));
    int error;
    const uint32_t taken =
        chain_.post(*queue_, seats_[0], unposted_.data() + unposted_.size() - most, most, error);
    if (error != 0) {
      unposted_.erase(unposted_.end() - most, unposted_.end() - most + taken);
      return error;
    }
    unposted_.resize(unposted_.size() - most);
  }
  return 0;
}

void SharedReceives::attend(Share& share) noexcept {
  if (share.open && !share.is_linked()) waiting_.push_back(share);
}

// Who goes on waiting may be given what others have.
void SharedReceives::serve() noexcept {
  if (serving_) {
    serve_again_ = true;
    return;
  }
  serve_waiting();
  if (!waiting_.empty()) recall_later();
}

// Each of those that wait has one look; and one more when others, while they had theirs, brought
// back what it waits for.
void SharedReceives::serve_waiting() noexcept {
  serving_ = true;
  do {
    serve_again_ = false;
    for (size_t n = waiting_.size(); n > 0 && !waiting_.empty(); --n) {
      auto& first = static_cast<Share&>(waiting_.front());
      waiting_.pop_front();
      if (leases_.grantable(first) > 0 || first.recall_due()) {
        first.socket().settle();  // takes them, and tells the peer
      } else if (leases_.starved(first)) {
        waiting_.push_back(first);
      }
    }
  } while (serve_again_);
  serving_ = false;
}

// Slots, for those that wait and for a newcomer.
uint32_t SharedReceives::lacking() const noexcept {
  uint32_t all = leases_.has_room() ? 0 : Leases::kLeast + wire::kControlSlots;
  for (const Waiting& one : waiting_) all += leases_.wish(static_cast<const Share&>(one));
  return all;
}

void SharedReceives::recall_later() noexcept {
  if (recalls_ != kNever || nobody_gives_) return;
  const TimePoint when = Clock::now() + recall_pause_;
  if (channel_.look_at_extension_at(when)) recalls_ = when;
}

// Who has something to give is asked now if it is idle, and else looked at again. If nobody has,
// there is nothing to be had until somebody is given more than its least.
void SharedReceives::recall() noexcept {
  if (lacking() > 0) channel_.take_all();  // who has sent something is not idle
  recalls_ = kNever;
  uint32_t lacks = lacking();
  if (lacks == 0) {
    recall_pause_ = kRecallEvery;
    return;
  }
  nobody_gives_ = true;
  uint32_t left = kMostRecalls;
  for (auto& [number, share] : members_) {
    const bool idle = share->was_idle();
    const uint32_t dispensable = share->dispensable();
    if (dispensable == 0) continue;
    nobody_gives_ = false;
    if (!idle || lacks == 0 || left == 0) continue;
    lacks -= std::min(lacks, dispensable);
    --left;
    share->recall();
    attend(*share);
  }
  if (left < kMostRecalls) recall_pause_ = std::min(recall_pause_ * 2, kRecallAtLeast);
  serve_waiting();
  recall_later();
}

}  // namespace sio::internal
