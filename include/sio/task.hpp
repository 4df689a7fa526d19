// SPDX-License-Identifier: BSD-2-Clause
//
// What a coroutine of <sio/coro.hpp> returns.
#ifndef SIO_TASK_HPP
#define SIO_TASK_HPP

#include <sio/base.hpp>

#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

namespace sio::coro {

template <typename Result = void>
class Task;

namespace detail {

class PromiseBase {
 public:
  // At its end a coroutine goes on with who awaits it.
  struct Ending {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      return ended.promise().awaiting_;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Ending final_suspend() const noexcept { return {}; }
  void go_on_with(std::coroutine_handle<> awaiting) noexcept { awaiting_ = awaiting; }

 private:
  std::coroutine_handle<> awaiting_ = std::noop_coroutine();
};

template <typename Result>
class Promise : public PromiseBase {
  static_assert(!std::is_reference_v<Result>, "a task returns a value, which may be a pointer");

 public:
  Task<Result> get_return_object() noexcept;
  template <typename Value>
  void return_value(Value&& value) {
    outcome_.template emplace<1>(std::forward<Value>(value));
  }
  void unhandled_exception() noexcept { outcome_.template emplace<2>(std::current_exception()); }

  Result take() {
    if (outcome_.index() == 2) std::rethrow_exception(std::get<2>(outcome_));
    return std::move(std::get<1>(outcome_));
  }

 private:
  std::variant<std::monostate, Result, std::exception_ptr> outcome_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { failure_ = std::current_exception(); }

  void take() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
};

}  // namespace detail

// A coroutine that begins when it is awaited (co_await, Loop::run, Loop::spawn), once. Its result,
// or the exception that left it, is the awaiting one's. It owns the coroutine: when it goes, what
// the coroutine has goes, wherever it waits. (But not while it runs.)
template <typename Result>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<Result>;

  // Runs it until it waits or ends, within the call. So a loop over tasks that end at once takes no
  // stack, whatever the compiler: g++ 12 and clang 14 make a tail call of a symmetric transfer only
  // if they optimize, and not always then. What ends later transfers: each of these calls is one
  // that a coroutine has made, hence there are never more of them than coroutines within one
  // another.
  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) const {
      frame_.resume();
      if (frame_.done()) return false;
      frame_.promise().go_on_with(awaiting);
      return true;
    }
    Result await_resume() const { return frame_.promise().take(); }

   private:
    std::coroutine_handle<promise_type> frame_;
  };

  Task() noexcept = default;
  explicit Task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    Task(std::move(other)).swap(*this);
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  explicit operator bool() const noexcept { return static_cast<bool>(frame_); }
  Awaiter operator co_await() && noexcept { return Awaiter(frame_); }

  // By hand, without a coroutine that awaits it.
  void start() const { frame_.resume(); }
  bool done() const noexcept { return frame_.done(); }
  Result take() const { return frame_.promise().take(); }

  void swap(Task& other) noexcept { std::swap(frame_, other.frame_); }

 private:
  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <typename Result>
Task<Result> Promise<Result>::get_return_object() noexcept {
  return Task<Result>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace detail

}  // namespace sio::coro

#endif
