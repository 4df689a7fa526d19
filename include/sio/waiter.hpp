// SPDX-License-Identifier: BSD-2-Clause
//
// Coroutines that wait (<sio/coro.hpp>): in line for something, until a time, or both. What a
// waiter needs of either is in itself, hence in its coroutine: waiting allocates nothing, and it
// leaves all lines when it goes.
#ifndef SIO_WAITER_HPP
#define SIO_WAITER_HPP

#include <sio/base.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <utility>

namespace sio::coro::detail {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC

// So long from now; a time that no clock reaches is never.
inline Clock::time_point in(std::chrono::nanoseconds time) noexcept {
  const auto now = Clock::now();
  return time < Clock::time_point::max() - now ? now + time : Clock::time_point::max();
}

// A place in a Line; in none: a ring of itself.
class Link {
 public:
  Link() noexcept = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { leave(); }

  void leave() noexcept {
    before_->behind_ = behind_;
    behind_->before_ = before_;
    before_ = behind_ = this;
  }

 private:
  template <typename Member>
  friend class Line;

  Link* before_ = this;
  Link* behind_ = this;
};

// First come, first served.
template <typename Member>
class Line {
 public:
  bool empty() const noexcept { return end_.behind_ == &end_; }
  Member& front() const noexcept { return static_cast<Member&>(*end_.behind_); }
  void join(Member& last) noexcept {
    Link& link = last;
    link.leave();
    link.before_ = end_.before_;
    link.behind_ = &end_;
    end_.before_->behind_ = &link;
    end_.before_ = &link;
  }

 private:
  Link end_;
};

// A time, in Alarms or not.
class Alarm {
 public:
  Alarm() noexcept = default;
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  Clock::time_point due() const noexcept { return due_; }

 private:
  friend class Alarms;

  Clock::time_point due_;
  uint64_t serial_ = 0;      // of two that are due at one time the first that was set is the first
  Alarm* child_ = nullptr;   // the first of those that are due later
  Alarm* next_ = nullptr;    // the next of those that have the same parent
  Alarm** place_ = nullptr;  // where the pointer to this one is; nullptr: it is not set
};

// A pairing heap.
class Alarms {
 public:
  Alarm* earliest() const noexcept { return root_; }

  void set(Alarm& alarm, Clock::time_point due) noexcept {
    cancel(alarm);
    alarm.due_ = due;
    alarm.serial_ = ++serial_;
    plant(merged(root_, &alarm));
  }

  void cancel(Alarm& alarm) noexcept {
    if (alarm.place_ == nullptr) return;
    put(alarm.next_, *alarm.place_);
    Alarm* const later = merged_pairs(alarm.child_);
    alarm.child_ = alarm.next_ = nullptr;
    alarm.place_ = nullptr;
    plant(merged(root_, later));
  }

 private:
  static void put(Alarm* alarm, Alarm*& place) noexcept {
    place = alarm;
    if (alarm != nullptr) alarm->place_ = &place;
  }
  void plant(Alarm* root) noexcept { put(root, root_); }

  static bool before(const Alarm& one, const Alarm& other) noexcept {
    return one.due_ != other.due_ ? one.due_ < other.due_ : one.serial_ < other.serial_;
  }

  // The earlier of two trees, which has the other one then.
  static Alarm* merged(Alarm* one, Alarm* other) noexcept {
    if (one == nullptr) return other;
    if (other == nullptr) return one;
    if (before(*other, *one)) std::swap(one, other);
    put(one->child_, other->next_);
    put(other, one->child_);
    return one;
  }

  static Alarm* merged_pairs(Alarm* first) noexcept {
    Alarm* pairs = nullptr;  // the last one first, by next_
    while (first != nullptr) {
      Alarm* const one = first;
      Alarm* const other = std::exchange(one->next_, nullptr);
      first = other != nullptr ? std::exchange(other->next_, nullptr) : nullptr;
      Alarm* const pair = merged(one, other);
      pair->next_ = std::exchange(pairs, pair);
    }
    Alarm* all = nullptr;
    while (pairs != nullptr) {
      Alarm* const pair = pairs;
      pairs = std::exchange(pair->next_, nullptr);
      all = merged(all, pair);
    }
    return all;
  }

  Alarm* root_ = nullptr;
  uint64_t serial_ = 0;
};

// A coroutine that waits, and what came of it.
class Waiter : public Link, public Alarm {
 public:
  explicit Waiter(Alarms& alarms) noexcept : alarms_(alarms) {}
  virtual ~Waiter() { alarms_.cancel(*this); }

  void suspend(std::coroutine_handle<> coroutine) noexcept { coroutine_ = coroutine; }
  void resume() const { coroutine_.resume(); }
  int error() const noexcept { return error_; }
  // Its time is over, and it has left the line.
  virtual void gave_up() noexcept {}
  bool has_ended() const noexcept { return ended_; }
  // It waits no more.
  void end(int error) noexcept {
    leave();
    alarms_.cancel(*this);
    error_ = error;
    ended_ = true;
  }

 private:
  Alarms& alarms_;
  std::coroutine_handle<> coroutine_;
  int error_ = 0;
  bool ended_ = false;
};

}  // namespace sio::coro::detail

#endif
