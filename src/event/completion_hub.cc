// SPDX-License-Identifier: BSD-2-Clause
#include "event/completion_hub.h"

#include <sys/epoll.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace sio::internal {
namespace {

// Stands where there is no queue.
class NoQueue final : public provider::CompletionQueue {
 public:
  uint32_t capacity() const noexcept override { return 0; }
  int poll(int, ibv_wc*) noexcept override { return 0; }
  int arm(bool) noexcept override { return 0; }
};

NoQueue* no_queue() {
  static auto* const none = new NoQueue;  // never destroyed: somebody may poll at exit
  return none;
}

// Devices take memory for a power of two less one (rxe_queue_init of Linux, rdma-core's mlx5): what
// lies between would be paid for and not had.
uint32_t capacity_for(uint32_t entries, uint32_t most) noexcept {
  return std::min(std::bit_ceil(std::min(entries, most) + 1) - 1, most);
}

}  // namespace

CompletionHub::~CompletionHub() {
  for (const Group& group : groups_) {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, group.channel->fd(), nullptr);
  }
}

CompletionHub::Group& CompletionHub::group_of(provider::Device& device) {
  for (Group& group : groups_) {
    if (group.device == &device) return group;
  }
  groups_.reserve(groups_.size() + 1);
  Group group{&device, device.create_completion_channel(), {}};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = epoll_data_;
  adding_(group.channel->fd());
  check_errno(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, group.channel->fd(), &event), "epoll_ctl");
  groups_.push_back(std::move(group));
  return groups_.back();
}

CompletionHub::Queue& CompletionHub::queue_with_room(Group& group, uint32_t entries) {
  for (Queue& queue : group.queues) {
    if (queue.queue->capacity() - queue.used >= entries) return queue;
  }
  const uint32_t most = group.device->limits().max_cq_entries;
  if (entries > most) throw_errno(EINVAL, "a queue pair with more work requests than a CQ takes");
  uint32_t wish = entries;
  if (!group.queues.empty()) {
    Queue& last = group.queues.back();
    if (enlarge(group, last, entries)) return last;
    // Twice as large as the last, so that few are to be polled.
    if (!group.enlarges) wish = std::max(2 * last.queue->capacity(), entries);
  }
  group.queues.reserve(group.queues.size() + 1);
  polled_.reserve(polled_.size() + 1);
  group.queues.push_back({group.channel->create_queue(capacity_for(wish, most)), 0});
  polled_.push_back(group.queues.back().queue.get());
  find_whether_calm();
  // Somebody may be asleep already, trusting that all queues are armed.
  if (armed_) group.queues.back().queue->arm(solicited_only_);
  return group.queues.back();
}

// One queue is to be polled where its device can make it larger, and it goes no further round than
// is needed: each completion is written to memory that was last touched a whole round ago.
bool CompletionHub::enlarge(Group& group, Queue& queue, uint32_t entries) noexcept {
  const uint32_t most = group.device->limits().max_cq_entries;
  if (entries > most - std::min(most, queue.used)) return false;
  const uint32_t wish = capacity_for(queue.used + entries, most);
  const int error = queue.queue->resize(wish);
  if (error == -EOPNOTSUPP || error == -ENOSYS) group.enlarges = false;
  if (error != 0) {
    LOG_DEBUG("a completion queue of %u entries in place of %u: %s", wish, queue.queue->capacity(),
              errno_text(-error));
    return false;
  }
  return queue.queue->capacity() - queue.used >= entries;
}

CompletionHub::Seat CompletionHub::join(provider::Device& device, uint32_t entries,
                                        CompletionHandler* handler, uint32_t spare) {
  return take_seat(queue_with_room(group_of(device), entries + spare), entries, handler);
}

CompletionHub::Seat CompletionHub::join_beside(const Seat& other, uint32_t entries,
                                               CompletionHandler* handler) {
  for (Group& group : groups_) {
    for (Queue& queue : group.queues) {
      if (queue.queue.get() != other.queue) continue;
      const bool room =
          queue.queue->capacity() - queue.used >= entries || enlarge(group, queue, entries);
      return room ? take_seat(queue, entries, handler) : Seat{};
    }
  }
  return {};
}

CompletionHub::Seat CompletionHub::take_seat(Queue& queue, uint32_t entries,
                                             CompletionHandler* handler) {
  if (free_places_.empty()) {
    if (places_.size() > wire::kWorkIdMask) throw_errno(EMFILE, "connections of a channel");
    // All that leave() and dispatch() push onto has its room now.
    if (places_.size() == places_.capacity()) places_.reserve(2 * places_.size() + 1);
    free_places_.reserve(places_.capacity());
    touched_.reserve(places_.capacity());
    held_.reserve(places_.capacity());
    const auto connection = static_cast<uint32_t>(places_.size());
    places_.push_back({nullptr, wire::encode_work_id({wire::Work{}, 0, connection, 0})});
    free_places_.push_back(connection);
  }
  const uint32_t index = free_places_.back();
  free_places_.pop_back();
  places_[index].handler = handler;
  queue.used += entries;
  return {queue.queue.get(), entries, index, places_[index].id_base};
}

void CompletionHub::leave(Seat& seat, bool handler_stays) noexcept {
  if (!seat) return;
  Place& place = places_[seat.connection];
  if (!handler_stays) forget(place.handler);
  place.handler = nullptr;
  place.id_base = wire::next_generation(place.id_base);
  free_places_.push_back(seat.connection);
  for (Group& group : groups_) {
    for (Queue& queue : group.queues) {
      if (queue.queue.get() == seat.queue) queue.used -= seat.entries;
    }
  }
  seat = {};
}

void CompletionHub::forget(CompletionHandler* handler) noexcept {
  CompletionHandler* const nobody = nullptr;
  std::replace(touched_.begin(), touched_.end(), handler, nobody);
  handler->touched_ = false;
  unhold(handler);
}

// After a batch that was full.
[[gnu::noinline]] int CompletionHub::poll_on(provider::CompletionQueue& queue) noexcept {
  ibv_wc completions[kPollBatch];
  int total = 0;
  for (int round = 1; round < kPollRounds; ++round) {
    const int n = take(queue, completions);
    if (n <= 0) break;
    total += n;
    if (n < kPollBatch) break;
  }
  return total;
}

// What look() found that is not a single completion with an event.
[[gnu::noinline]] CompletionHub::Look CompletionHub::take_others(
    int n, const ibv_wc* completions) noexcept {
  if (n < 0) {
    poll_failed(n);
    return Look::kNothing;
  }
  provider::CompletionQueue& queue = *polled_.front();
  for (int i = 0; i < n; ++i) dispatch(completions[i]);
  if (n == kPollBatch) poll_on(queue);
  seen_since_arm_ = true;
  settle_touched();
  return Look::kOther;
}

uint64_t CompletionHub::capacity() const noexcept {
  uint64_t entries = 0;
  for (const provider::CompletionQueue* queue : polled_) entries += queue->capacity();
  return entries;
}

void CompletionHub::settle_touched() noexcept {
  // By index: a handler that settles may leave, or post and so let another in.
  for (size_t i = 0; i < touched_.size(); ++i) {
    CompletionHandler* handler = touched_[i];
    if (handler == nullptr) continue;
    handler->touched_ = false;
    handler->settle();
  }
  touched_.clear();
}

[[gnu::cold]] void CompletionHub::poll_failed(int result) noexcept {
  LOG_ERROR("polling a completion queue failed (%d)", result);
}

void CompletionHub::arm() noexcept {
  const bool solicited_only = in_flight_ == 0 && !holding();
  for (Group& group : groups_) {
    if (group.tells && (!armed_ || seen_since_arm_)) take_notifications(group);
    if (!group.tells) continue;
    for (Queue& queue : group.queues) {
      if (const int error = queue.queue->arm(solicited_only)) {
        LOG_ERROR("arming a completion queue: %s", errno_text(-error));
      }
    }
  }
  armed_ = true;
  solicited_only_ = solicited_only;
  seen_since_arm_ = false;
  find_whether_calm();
}

// The descriptor of a device that has gone is readable for ever.
void CompletionHub::take_notifications(Group& group) noexcept {
  // Each arming of a queue yields one notification at most.
  group.tells = group.channel->take_notifications(static_cast<unsigned>(group.queues.size()));
  if (!group.tells) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, group.channel->fd(), nullptr);
}

void CompletionHub::arm_for_all() noexcept {
  if (!solicited_only_) return;
  for (Group& group : groups_) {
    for (Queue& queue : group.queues) queue.queue->arm(false);
  }
  solicited_only_ = false;
  find_whether_calm();
}

void CompletionHub::find_whether_calm() noexcept {
  if (polled_.size() > 1 || !held_.empty() || solicited_only_) {
    only_ = nullptr;
  } else {
    only_ = polled_.empty() ? no_queue() : polled_.front();
  }
}

void CompletionHub::hold(CompletionHandler* handler) noexcept {
  ++holds_;
  handler->held_anew_ = true;
  if (handler->held_) return;
  handler->held_ = true;
  held_.push_back(handler);
  only_ = nullptr;
}

void CompletionHub::unhold(CompletionHandler* handler) noexcept {
  if (!handler->held_) return;
  handler->held_ = false;
  std::erase(held_, handler);
  find_whether_calm();
}

void CompletionHub::before_sleep() noexcept { have_sent(true); }

void CompletionHub::tick() noexcept { have_sent(false); }

// Also those of which something was said since the last tick?
void CompletionHub::have_sent(bool all) noexcept {
  for (size_t i = 0; i < held_.size();) {
    CompletionHandler* handler = held_[i];
    if (!std::exchange(handler->held_anew_, false) || all) handler->before_sleep();
    // Still in its place: it goes on holding, since the peer has no room, or for a tick more.
    if (i < held_.size() && held_[i] == handler) ++i;
  }
}

}  // namespace sio::internal
