// SPDX-License-Identifier: BSD-2-Clause
//
// The completions of one channel: one completion channel per device, as many completion queues
// behind it as its queue pairs need, and who is told of what. Used under the channel's lock.
//
// 1. A completion queue has room for every work request of the queue pairs on it, unsignalled
//    ones too (they complete when they are flushed), so that it never overruns.
// 2. A completion is dispatched to the handler that posted it or, when that has left, to nobody.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "event/event_source.h"
#include "provider/provider.h"

namespace sio::internal {

class CompletionHub {
 public:
  // What a queue pair holds of the hub.
  struct Seat {
    provider::CompletionQueue* queue = nullptr;
    uint32_t entries = 0;
    uint32_t connection = 0;
    uint64_t id_base = 0;  // what the wr_ids from here have in common

    uint64_t work_id(wire::Work kind, uint32_t index) const noexcept {
      return id_base | wire::encode_work_id({kind, 0, 0, index});
    }
    explicit operator bool() const noexcept { return queue != nullptr; }
  };

  // Of a descriptor that is about to be added to the epoll set.
  using Adding = std::function<void(int fd)>;

  // Completion channels are added to `epoll_fd` with `epoll_data`.
  CompletionHub(int epoll_fd, uint64_t epoll_data, Adding adding) noexcept
      : epoll_fd_(epoll_fd), epoll_data_(epoll_data), adding_(std::move(adding)) {
    find_whether_calm();
  }
  ~CompletionHub();
  CompletionHub(const CompletionHub&) = delete;
  CompletionHub& operator=(const CompletionHub&) = delete;

  // Room for a queue pair with that many work requests in all. `spare`: and for so many more in the
  // same queue, which are not taken.
  Seat join(provider::Device& device, uint32_t entries, CompletionHandler* handler,
            uint32_t spare = 0);
  // In the queue of another seat; empty if there is no room, and none can be made.
  Seat join_beside(const Seat& other, uint32_t entries, CompletionHandler* handler);
  // handler_stays: on another seat of its own.
  void leave(Seat& seat, bool handler_stays = false) noexcept;

  // What was posted from it up to now completes for nobody.
  void disown(Seat& seat) noexcept {
    Place& place = places_[seat.connection];
    place.id_base = wire::next_generation(place.id_base);
    seat.id_base = place.id_base;
  }

  // While completions are dispatched: this one had one too, which came to another.
  void touch(CompletionHandler* handler) noexcept {
    if (handler->touched_) return;
    handler->touched_ = true;
    touched_.push_back(handler);
  }

  // Takes completions and dispatches them; how many. Of each queue so many at most: more may be
  // there.
  static constexpr int kMostAtOnce = 256;
  int poll() noexcept;

  // Whether there is one queue at most, nothing is held, and the descriptor tells of all that
  // comes.
  bool is_calm() const noexcept { return only_ != nullptr; }
  // The same as poll() where it is so, for one who wants an event. at_rest(handler, completion,
  // place) is given a completion that came alone, in place of CompletionHandler::complete_at_rest.
  enum class Look : uint8_t {
    kNothing,
    kGiven,  // one completion, which at_rest() took, and described in `place`
    kOther,  // others, as poll()
  };
  template <typename AtRest>
  [[gnu::always_inline]] Look look(event_data_t* place, AtRest at_rest) noexcept;

  // Asks for a notification at the next completion. Call poll once more afterwards.
  void arm() noexcept;
  // The same without taking part in a wait: another thread may be asleep, armed for solicited
  // completions only, while something was posted that it must not sleep through.
  void arm_for_all() noexcept;

  // Sends that are posted and not known to be complete. While there are any, all completions wake:
  // those of sends are not solicited, failed ones neither, and rxe of Linux 6.12 does not count
  // flushed receives as solicited.
  void posted() noexcept { ++in_flight_; }
  void completed(uint32_t n = 1) noexcept { in_flight_ -= n; }
  // Whether the next completion that matters may go unnoticed by a sleeper.
  bool needs_arming() const noexcept {
    return !armed_ || seen_since_arm_ || armed_for_too_little();
  }
  // Whether one certainly could, although the descriptor is not readable.
  bool armed_for_too_little() const noexcept {
    return solicited_only_ && (in_flight_ > 0 || holding());
  }
  // A notification lies untaken: the descriptor is readable until the next arming.
  void notified() noexcept { seen_since_arm_ = true; }
  void set_epoll_fd(int fd) noexcept { epoll_fd_ = fd; }

  // Has `handler` called before the channel sleeps next. Said again: there is more to look after.
  void hold(CompletionHandler* handler) noexcept;
  void unhold(CompletionHandler* handler) noexcept;
  void before_sleep() noexcept;
  // Some time has passed: calls those of which nothing was said since this was called last. A
  // program that polls never sleeps.
  void tick() noexcept;
  bool holding() const noexcept { return !held_.empty(); }
  // How often somebody said so.
  uint64_t holds() const noexcept { return holds_; }

  bool empty() const noexcept { return groups_.empty(); }
  // Completions that there may be at once.
  uint64_t capacity() const noexcept;

  // The completion channels' descriptors: readable when there may be something to poll.
  static constexpr size_t kMostDevices = 8;  // as an area has room for (memory/area.h)
  template <typename Use>
  void for_each_descriptor(Use use) const {
    for (const Group& group : groups_) {
      if (group.tells) use(group.channel->fd());
    }
  }

 private:
  static constexpr int kPollBatch = 32;
  // Batches of one queue before others have their turn.
  static constexpr int kPollRounds = kMostAtOnce / kPollBatch;

  struct Queue {
    std::unique_ptr<provider::CompletionQueue> queue;
    uint32_t used = 0;  // entries that are spoken for
  };
  struct Group {
    provider::Device* device;
    std::unique_ptr<provider::CompletionChannel> channel;
    std::vector<Queue> queues;
    bool enlarges = true;  // the device makes queues larger, if it has the memory
    bool tells = true;     // it has not gone
  };
  // Whose the wr_ids with this base are.
  struct Place {
    CompletionHandler* handler = nullptr;
    uint64_t id_base = 0;
  };
  Group& group_of(provider::Device& device);
  Queue& queue_with_room(Group& group, uint32_t entries);
  static bool enlarge(Group& group, Queue& queue, uint32_t entries) noexcept;
  Seat take_seat(Queue& queue, uint32_t entries, CompletionHandler* handler);
  int poll_on(provider::CompletionQueue& queue) noexcept;
  Look take_others(int n, const ibv_wc* completions) noexcept;
  static void poll_failed(int result) noexcept;
  int take(provider::CompletionQueue& queue, ibv_wc* completions) noexcept;
  const Place* place_of(const ibv_wc& wc) const noexcept;
  void dispatch(const ibv_wc& wc) noexcept;
  void take_notifications(Group& group) noexcept;
  void find_whether_calm() noexcept;
  void forget(CompletionHandler* handler) noexcept;
  void settle_touched() noexcept;
  void have_sent(bool all) noexcept;

  // First what each message needs: a cache line or little more.
  provider::CompletionQueue* only_ = nullptr;  // is_calm()
  std::vector<Place> places_;
  bool armed_ = false;
  bool solicited_only_ = false;  // it is armed for these
  bool seen_since_arm_ = false;
  uint32_t in_flight_ = 0;
  std::vector<CompletionHandler*> held_;

  int epoll_fd_;
  uint64_t epoll_data_;
  const Adding adding_;
  std::vector<Group> groups_;
  std::vector<provider::CompletionQueue*> polled_;  // all of theirs
  std::vector<uint32_t> free_places_;
  std::vector<CompletionHandler*> touched_;
  uint64_t holds_ = 0;
};

// One with a handler: with the base of a place that is nobody's nothing was posted. NULL: it was
// of one who has left.
[[gnu::always_inline]] inline const CompletionHub::Place* CompletionHub::place_of(
    const ibv_wc& wc) const noexcept {
  const Place* const place = places_.data() + wire::connection_of(wc.wr_id);
  if (place >= places_.data() + places_.size()) return nullptr;
  return place->id_base == wire::base_of(wc.wr_id) ? place : nullptr;
}

template <typename AtRest>
[[gnu::always_inline]] inline CompletionHub::Look CompletionHub::look(event_data_t* place,
                                                                      AtRest at_rest) noexcept {
  ibv_wc completions[kPollBatch];
  const int n = only_->poll_directly(kPollBatch, completions);
  if (n == 1) {
    const Place* const whose = place_of(completions[0]);
    if (whose != nullptr && at_rest(*whose->handler, completions[0], place)) [[likely]] {
      seen_since_arm_ = true;
      return Look::kGiven;
    }
  }
  return n == 0 ? Look::kNothing : take_others(n, completions);
}

// Part of what each look is.
[[gnu::always_inline]] inline void CompletionHub::dispatch(const ibv_wc& wc) noexcept {
  const Place* const place = place_of(wc);
  if (place == nullptr) return;
  CompletionHandler* const handler = place->handler;
  if (handler->complete_at_rest(wc)) return;
  const wire::WorkId id = wire::decode_work_id(wc.wr_id);
  touch(handler);
  handler->complete(id.kind, id.index, wc);
}

// So many at most; how many.
[[gnu::always_inline]] inline int CompletionHub::take(provider::CompletionQueue& queue,
                                                      ibv_wc* completions) noexcept {
  const int n = queue.poll_directly(kPollBatch, completions);
  for (int i = 0; i < n; ++i) dispatch(completions[i]);
  return n;
}

inline int CompletionHub::poll() noexcept {
  ibv_wc completions[kPollBatch];
  int total = 0;
  // By index: who takes a completion may join with another queue pair, and so add to the list.
  for (size_t i = 0; i < polled_.size(); ++i) {
    const int n = take(*polled_[i], completions);
    if (n == 0) continue;
    if (n < 0) {
      poll_failed(n);
      continue;
    }
    total += n;
    if (n == kPollBatch) total += poll_on(*polled_[i]);
  }
  if (total > 0) {
    seen_since_arm_ = true;
    if (!touched_.empty()) settle_touched();
  }
  return total;
}

}  // namespace sio::internal
