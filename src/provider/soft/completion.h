// SPDX-License-Identifier: BSD-2-Clause
//
// Completion queues, and the channel behind them. The bytes of a connection are moved when the
// program polls; when it has not polled for a tick, the attendant does it in its stead. So there is
// a lock here, although the caller holds one.
//
// The channel's descriptor is an epoll set of the connections and an eventfd. Bytes that nobody has
// read keep it readable, so a program is woken by what verbs would not tell (an acknowledgement,
// say), and never sleeps through anything. The eventfd is for completions that come otherwise: they
// notify once per arming, as those of verbs.
//
// A set that nobody sleeps on costs both ends: the kernel tells it of each segment, in the system
// call of whoever sent that. So while a program polls and does not arm, the connections leave it.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "base/fd.h"
#include "provider/provider.h"
#include "provider/soft/cyclic.h"

namespace sio::internal::provider::soft {

class Attendant;
class SoftCompletionChannel;

// What a channel looks after: queue pairs of either kind. Called under the channel's lock.
class Attended {
 public:
  // What an epoll set is to wait for; nothing without events.
  struct Watched {
    int fd;
    uint32_t events;
  };

  virtual ~Attended() = default;
  virtual Watched watched() const noexcept = 0;
  // Reads and writes what there is; true if there was anything.
  virtual bool advance() noexcept = 0;
  // Of what the channel has been told that it owes(): says now what was taken, or in which round.
  virtual void acknowledge() noexcept {}
  virtual uint64_t took_at() const noexcept { return 0; }
  // Of what was sent: makes the peer say what it has taken.
  virtual void ask() noexcept {}
  virtual void look_for_dead_link() noexcept {}
};

class SoftCompletionQueue final : public CompletionQueue {
 public:
  SoftCompletionQueue(SoftCompletionChannel& channel, uint32_t entries);
  ~SoftCompletionQueue() override;
  SoftCompletionQueue(const SoftCompletionQueue&) = delete;
  SoftCompletionQueue& operator=(const SoftCompletionQueue&) = delete;

  uint32_t capacity() const noexcept override { return capacity_; }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override;
  int resize(uint32_t entries) noexcept override;

  // Under the channel's lock. A completion that finds no room is lost, as with verbs.
  void push(const ibv_wc& wc, bool solicited) noexcept;
  SoftCompletionChannel& channel() noexcept { return channel_; }

 private:
  enum class Armed : uint8_t { kNot, kSolicited, kAll };

  void set_armed(Armed armed) noexcept;

  SoftCompletionChannel& channel_;
  uint32_t capacity_;
  Cyclic<ibv_wc> entries_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  Armed armed_ = Armed::kNot;
};

class SoftCompletionChannel final : public CompletionChannel {
 public:
  explicit SoftCompletionChannel(Attendant& attendant);
  ~SoftCompletionChannel() override;
  SoftCompletionChannel(const SoftCompletionChannel&) = delete;
  SoftCompletionChannel& operator=(const SoftCompletionChannel&) = delete;

  int fd() const noexcept override { return epoll_.get(); }
  bool take_notifications(unsigned most) noexcept override;
  std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) override;

  std::mutex& mutex() noexcept { return mutex_; }

  // The rest is called under the lock.
  void add(Attended* pair);
  void remove(Attended* pair) noexcept;
  // A stream joins the epoll set, or wants other events, or leaves. Before or after that its
  // watched() is to say so.
  int watch(Attended* pair, int fd, uint32_t events) noexcept;
  void change(Attended* pair, int fd, uint32_t events) noexcept;
  void forget(int fd) noexcept;

  // Moves what there is to be moved, on behalf of the queue that polls (or of nobody).
  void advance(const SoftCompletionQueue* polling) noexcept;
  // A queue is armed, or no longer; and what is armed has been polled so often since that it is not
  // going to be slept on.
  void armed(bool one_more) noexcept;
  bool is_hot() const noexcept { return polls_ > kHot; }
  // The epoll set tells of all connections again: 0 or -errno.
  int look() noexcept;
  // Counts the calls of advance.
  uint64_t round() const noexcept { return advances_; }
  // Completions of this queue are about to be looked at, so that they need not be announced.
  bool is_polling(const SoftCompletionQueue* queue) const noexcept { return polling_ == queue; }
  // Wakes who sleeps for the channel; any thread, no lock needed.
  void notify() noexcept;
  // What was taken is to be acknowledged now, since nobody will poll for a while.
  void acknowledge_all() noexcept;

  // Something was sent, or is owed, that calls for a look later.
  void sent(uint32_t n) noexcept;
  void finished(uint32_t n) noexcept { outstanding_ -= n; }
  void owes(Attended* pair) noexcept;
  void owes_no_more(Attended* pair) noexcept { std::erase(owing_, pair); }
  // It has found the shared receives empty, and is to advance when there are some.
  void starves(Attended* pair) noexcept { starving_.push_back(pair); }
  void starves_no_more(Attended* pair) noexcept { std::erase(starving_, pair); }

  // For the attendant, who calls them without the lock.
  bool ticking() const noexcept { return ticking_; }
  // Its descriptor has become readable. False: not for anything that is to be moved.
  bool begin_ticking() noexcept;
  // A tick is over: true if more are wanted. `look_for_dead_links` is expensive.
  bool tick(bool look_for_dead_links) noexcept;

 private:
  static constexpr unsigned kHot = 64;  // polls

  void look_away() noexcept;
  template <typename Which>
  void acknowledge_those(Which which) noexcept;
  void feed_the_starving() noexcept;
  void want_ticks() noexcept;

  Attendant& attendant_;
  std::mutex mutex_;
  OwnFd epoll_;
  OwnFd notification_;
  std::vector<Attended*> pairs_;
  std::vector<Attended*> owing_;     // acknowledgements
  std::vector<Attended*> starving_;  // for a shared receive
  const SoftCompletionQueue* polling_ = nullptr;
  uint64_t advances_ = 0;
  uint64_t advances_at_tick_ = 0;
  uint64_t polls_ = 0;                // since the last arming
  unsigned armed_queues_ = 0;         // which sleepers trust in
  bool away_ = false;                 // no connection is in the epoll set
  uint32_t outstanding_ = 0;          // requests that nobody has acknowledged
  bool busy_ = false;                 // something came or went since the last tick
  std::atomic<bool> ticking_{false};  // written under the lock
  std::atomic<bool> notified_{false};
};

}  // namespace sio::internal::provider::soft
