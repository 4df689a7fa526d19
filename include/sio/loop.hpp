// SPDX-License-Identifier: BSD-2-Clause
//
// What coroutines run in: a channel, and who waits for its events. <sio/coro.hpp> says what holds
// for all.
#ifndef SIO_LOOP_HPP
#define SIO_LOOP_HPP

#include <sio/ec.hpp>
#include <sio/task.hpp>
#include <sio/waiter.hpp>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace sio::coro {

class Loop;

namespace detail {

// What a channel's events are for.
class Source {
 public:
  virtual void take(const event_data_t& event) = 0;

 protected:
  ~Source() = default;
};

// Which cookie is whose. A cookie is used once: an event that comes after its source has gone (the
// EC_SENT that a closed socket owes) finds nobody.
class Sources {
 public:
  void* add(Source& source) {
    if (free_.empty()) {
      free_.reserve(places_.size() + 1);  // so that remove() needs no memory
      places_.emplace_back();
      free_.push_back(places_.size() - 1);
    }
    const size_t index = free_.back();
    free_.pop_back();
    places_[index].source = &source;
    return cookie_of(index);
  }
  void remove(void* cookie) noexcept {
    Place& place = places_[index_of(cookie)];
    place.source = nullptr;
    ++place.uses;
    free_.push_back(index_of(cookie));
  }
  Source* find(void* cookie) const noexcept {
    const size_t index = index_of(cookie);
    return index < places_.size() && cookie_of(index) == cookie ? places_[index].source : nullptr;
  }
  // Odd, which no pointer of the program's own events is.
  static bool ours(void* cookie) noexcept { return (reinterpret_cast<uintptr_t>(cookie) & 1) != 0; }

 private:
  struct Place {
    Source* source = nullptr;
    uint32_t uses = 0;
  };
  static_assert(sizeof(void*) == 8, "half of a cookie says how often its place was used");

  void* cookie_of(size_t index) const noexcept {
    return reinterpret_cast<void*>(uint64_t{places_[index].uses} << 32 | index << 1 | 1);
  }
  static size_t index_of(void* cookie) noexcept {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(cookie)) >> 1;
  }

  std::vector<Place> places_;
  std::vector<size_t> free_;
};

// The one timer of a loop, in its channel.
class Timer final : public Source {
 public:
  Timer(const Channel& channel, Sources& sources)
      : channel_(channel),
        sources_(sources),
        descriptor_(sio::detail::checked(
            timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")) {
    try {
      cookie_ = sources.add(*this);
      channel.add(descriptor_, EPOLLIN, cookie_);
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~Timer() {
    (void)ec_del_fd(channel_.handle(), descriptor_);
    ::close(descriptor_);
    sources_.remove(cookie_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // There is an event by then. There may be one for nothing: of an earlier time that nobody waits
  // for any more, which is cheaper than to set the timer each time that somebody stops waiting.
  void expect(Clock::time_point due) noexcept {
    if (due >= set_) return;
    set_ = due;
    // A time of 0 would stop it.
    const auto time = std::max(due.time_since_epoch(), Clock::duration(1));
    const itimerspec times{{}, sio::detail::to_timespec(time)};
    timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &times, nullptr);
  }

  void take(const event_data_t&) noexcept override {
    uint64_t expirations;
    (void)!::read(descriptor_, &expirations, sizeof expirations);  // else it stays ready
    set_ = Clock::time_point::max();
  }

 private:
  const Channel& channel_;
  Sources& sources_;
  int descriptor_;
  void* cookie_ = nullptr;
  Clock::time_point set_ = Clock::time_point::max();
};

}  // namespace detail

// One thread's. It is not to be destroyed, nor run, by a coroutine that it runs.
class Loop {
 public:
  explicit Loop(unsigned flags = 0) : Loop(Channel(flags)) {}
  // Takes over a channel (one on a ring of the program's, say).
  explicit Loop(Channel&& channel) : channel_(std::move(channel)) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // What was spawned and has not ended is destroyed where it waits.
  ~Loop() {
    while (!spawned_.empty()) spawned_.front().destroy();
  }

  // To add sources of the program's own.
  const Channel& channel() const noexcept { return channel_; }
  // Their events. A cookie that is an odd number is the loop's: theirs are even.
  void on_event(std::function<void(const event_data_t&)> handler) { handler_ = std::move(handler); }

  // Runs this task until it has ended, beside all that was spawned, which may have more to do then.
  // Its result or exception. An exception that leaves a spawned task comes out here too, if nobody
  // handles it; the task that is run is destroyed then.
  template <typename Result>
  Result run(Task<Result> task) {
    allowance_ = kAllowance;
    task.start();
    while (!task.done()) proceed();
    return task.take();
  }
  // Runs until all that was spawned has ended. After an exception it may be called again.
  void run() {
    while (!spawned_.empty()) proceed();
  }

  // For an event loop of another kind: when the descriptor is readable poll() is called until it
  // says that there is nothing to do, and once before the first time that the other loop sleeps.
  // Then there is something to do when the descriptor is readable again.
  int descriptor() const { return channel_.descriptor(); }
  // Takes in what has happened, and lets each coroutine that is ready go on once. False: nothing to
  // do. Throws what run() does.
  bool poll() {
    const bool happened = take_events();
    wake_due();
    const bool resumed = resume_ready();
    if (const detail::Alarm* next = alarms_.earliest()) timer_.expect(next->due());
    return happened || resumed;
  }

  // Begins with the next turn, and belongs to the loop; a program that polls on its own, and spawns
  // elsewhere than in a coroutine of this loop, calls poll() for that. The exception that leaves it
  // comes out of run(), or is given to the handler, void(std::exception_ptr).
  void spawn(Task<> task) { adopt(rooted(*this, std::move(task))); }
  template <typename Handler>
  void spawn(Task<> task, Handler handler) {
    adopt(rooted(*this, std::move(task), std::move(handler)));
  }

  // co_await loop.yield(): behind all that are ready.
  auto yield() noexcept { return Pause(*this, detail::Clock::time_point::min()); }
  // co_await loop.sleep_for(1s)
  auto sleep_for(std::chrono::nanoseconds time) noexcept { return Pause(*this, detail::in(time)); }
  auto sleep_until(std::chrono::steady_clock::time_point time) noexcept {
    return Pause(*this, time);
  }

  // For what can be awaited (coro.hpp).

  detail::Sources& sources() noexcept { return sources_; }
  detail::Alarms& alarms() noexcept { return alarms_; }
  // It has what it waits for, or never will.
  void end(detail::Waiter& waiter, int error) noexcept {
    waiter.end(error);
    ready_.join(waiter);
  }
  // Whether a coroutine that need not wait may go on at once: so often, then others have their
  // turn.
  bool may_go_on() noexcept { return allowance_ > 0 && allowance_-- > 0; }

 private:
  static constexpr int kAllowance = 32;
  static constexpr size_t kEventsAtOnce = 64;

  class [[nodiscard]] Pause : public detail::Waiter {
   public:
    Pause(Loop& loop, detail::Clock::time_point due) noexcept
        : Waiter(loop.alarms_), loop_(loop), until_(due) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept {
      suspend(coroutine);
      if (until_ == detail::Clock::time_point::min()) {
        loop_.ready_.join(*this);
      } else {
        loop_.alarms_.set(*this, until_);
      }
    }
    void await_resume() const noexcept {}

   private:
    Loop& loop_;
    detail::Clock::time_point until_;
  };

  // The coroutine that awaits what was spawned. At its end it goes by itself.
  struct Root {
    struct promise_type : detail::Link {
      Root get_return_object() noexcept { return {*this}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() noexcept { loop->failure_ = std::current_exception(); }
      std::coroutine_handle<promise_type> handle() noexcept {
        return std::coroutine_handle<promise_type>::from_promise(*this);
      }
      void destroy() noexcept { handle().destroy(); }

      Loop* loop = nullptr;
    };
    promise_type& promise;
  };

  // It waits for its turn first: who spawns in a loop (of accept, say) is not within what it
  // spawns.
  static Root rooted(Loop& loop, Task<> task) {
    co_await loop.yield();
    co_await std::move(task);
  }
  template <typename Handler>
  static Root rooted(Loop& loop, Task<> task, Handler handler) {
    co_await loop.yield();
    try {
      co_await std::move(task);
    } catch (...) {
      handler(std::current_exception());
    }
  }
  void adopt(Root root) noexcept {
    root.promise.loop = this;
    spawned_.join(root.promise);
  }

  void proceed() {
    if (poll()) return;
    const Status status = channel_.wait();
    if (!status && status.error() != EINTR) throw std::system_error(status.code(), "ec_delay");
  }

  // All of them before any coroutine goes on: who ends a source then is not told of it any more.
  bool take_events() {
    if (events_.empty()) events_ = channel_.next(room_);
    if (events_.empty()) return false;
    while (!events_.empty()) {
      const event_data_t& event = events_.front();
      events_ = events_.subspan(1);
      dispatch(event);
    }
    return true;
  }

  void dispatch(const event_data_t& event) {
    if (!detail::Sources::ours(event.cookie)) {
      if (handler_) handler_(event);
    } else if (detail::Source* source = sources_.find(event.cookie)) {
      source->take(event);
    }
  }

  void wake_due() noexcept {
    if (alarms_.earliest() == nullptr) return;
    const auto now = detail::Clock::now();
    for (detail::Alarm* next; (next = alarms_.earliest()) != nullptr && next->due() <= now;) {
      auto& waiter = static_cast<detail::Waiter&>(*next);  // all alarms are waiters'
      end(waiter, ETIMEDOUT);
      waiter.gave_up();
    }
  }

  // Those who become ready meanwhile have their turn next time.
  bool resume_ready() {
    if (ready_.empty()) return false;
    detail::Waiter last(alarms_);
    ready_.join(last);
    while (&ready_.front() != &last) {
      detail::Waiter& next = ready_.front();
      next.leave();
      allowance_ = kAllowance;
      next.resume();
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    return true;
  }

  std::function<void(const event_data_t&)> handler_;
  Channel channel_;
  detail::Sources sources_;
  detail::Timer timer_{channel_, sources_};
  detail::Alarms alarms_;
  detail::Line<detail::Waiter> ready_;
  detail::Line<Root::promise_type> spawned_;
  std::exception_ptr failure_;
  int allowance_ = 0;
  std::array<event_data_t, kEventsAtOnce> room_;
  std::span<event_data_t> events_;  // taken, and not told of yet
};

}  // namespace sio::coro

#endif
