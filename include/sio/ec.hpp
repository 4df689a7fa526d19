// SPDX-License-Identifier: BSD-2-Clause
//
// <sio/ec.h> with an owner, for C++20: channels. <sio/sio.hpp> says what holds for all.
#ifndef SIO_EC_HPP
#define SIO_EC_HPP

#include <sio/dma.hpp>
#include <sio/ec.h>

#include <chrono>
#include <optional>
#include <span>
#include <utility>

namespace sio {

// The memory that an event brings: EC_RECV's message, EC_SENT's buffer. To be taken once.
inline Buffer buffer_of(const event_data_t& event) noexcept {
  return {event.data.buf, event.data.len, event.data.mem};
}

class Channel {
 public:
  // Empty, no channel: what is joined to it throws EBADF. ec_create's is Channel(0).
  Channel() noexcept = default;
  explicit Channel(unsigned flags) : ec_(detail::checked(ec_create(flags), "ec_create")) {}
  // On a ring of the program's, which outlives the channel. flags: also EC_OVERFLOW_SIGNAL(signo).
  Channel(unsigned flags, std::span<event_data_t> ring)
      : ec_(detail::checked(ec_create_ring(flags, ring.data(), ring.size()), "ec_create_ring")) {}
  Channel(Channel&& other) noexcept : ec_(std::exchange(other.ec_, -1)) {}
  Channel& operator=(Channel&& other) noexcept {
    Channel(std::move(other)).swap(*this);
    return *this;
  }
  ~Channel() { (void)close(); }

  // Not ok: sockets are in it (EBUSY), and it stays.
  Status close() noexcept {
    if (ec_ < 0) return {};
    const Status status = detail::status(ec_destroy(ec_));
    if (status) ec_ = -1;
    return status;
  }

  explicit operator bool() const noexcept { return ec_ >= 0; }
  ec_t handle() const noexcept { return ec_; }
  // For poll, epoll and event loops.
  int descriptor() const { return detail::checked(ec_to_fd(ec_), "ec_to_fd"); }

  // The next event; none: there is none now.
  std::optional<event_data_t> next() const noexcept {
    event_data_t event;
    if (ec_next_event(ec_, &event) != 0) return std::nullopt;
    return event;
  }
  // As many as are there and have room; the rest of the span is as it was.
  std::span<event_data_t> next(std::span<event_data_t> room) const noexcept {
    const int n = ec_next_events(ec_, room.data(), static_cast<int>(room.size()));
    return room.first(n > 0 ? static_cast<size_t>(n) : 0);
  }
  // Until there is an event: ok. Or ETIMEDOUT, EINTR.
  Status wait() const noexcept { return detail::status(ec_delay(ec_, nullptr)); }
  Status wait(std::chrono::nanoseconds limit) const noexcept {
    timespec time = detail::to_timespec(limit);
    return detail::status(ec_delay(ec_, &time));
  }

  Status post(uint64_t value, void* cookie = nullptr) const noexcept {
    return detail::status(ec_post(ec_, value, cookie));
  }

  // Sources. Those that have an id return it.
  void add(int descriptor, uint32_t events, void* cookie = nullptr) const {
    detail::checked(ec_add_fd(ec_, descriptor, events, cookie), "ec_add_fd");
  }
  void change(int descriptor, uint32_t events, void* cookie = nullptr) const {
    detail::checked(ec_mod_fd(ec_, descriptor, events, cookie), "ec_mod_fd");
  }
  void remove(int descriptor) const { detail::checked(ec_del_fd(ec_, descriptor), "ec_del_fd"); }
  int add_queue(mqd_t queue, uint32_t events, void* cookie = nullptr) const {
    return detail::checked(ec_add_mq(ec_, queue, events, cookie), "ec_add_mq");
  }
  // The first time after `first`, then each `interval`; without one: once.
  int add_timer(std::chrono::nanoseconds first, std::chrono::nanoseconds interval = {},
                void* cookie = nullptr) const {
    const itimerspec times{detail::to_timespec(interval), detail::to_timespec(first)};
    return add_timer(CLOCK_MONOTONIC, times, 0, cookie);
  }
  // flags: TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET.
  int add_timer(clockid_t clock, const itimerspec& times, int flags, void* cookie = nullptr) const {
    return detail::checked(ec_add_timer(ec_, clock, &times, flags, cookie), "ec_add_timer");
  }
  int add_signals(const sigset_t& signals, void* cookie = nullptr) const {
    return detail::checked(ec_add_signal(ec_, &signals, cookie), "ec_add_signal");
  }
  int add_semaphore(sem_t& semaphore, void* cookie = nullptr) const {
    return detail::checked(ec_add_sem(ec_, &semaphore, cookie), "ec_add_sem");
  }
  // Told once, when the word was woken or is no longer `value`. flags: EC_FUTEX_SHARED.
  int add_futex(uint32_t& word, uint32_t value, int flags = 0, void* cookie = nullptr) const {
    return detail::checked(ec_add_futex(ec_, &word, value, flags, cookie), "ec_add_futex");
  }
  int add_process(pid_t pid, void* cookie = nullptr) const {
    return detail::checked(ec_add_process(ec_, pid, cookie), "ec_add_process");
  }
  // False: it has ended.
  bool end(int id) const noexcept { return ec_del(ec_, id) == 0; }

  void swap(Channel& other) noexcept { std::swap(ec_, other.ec_); }

 private:
  ec_t ec_ = -1;
};

}  // namespace sio

#endif
