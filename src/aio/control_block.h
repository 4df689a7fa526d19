// SPDX-License-Identifier: BSD-2-Clause
//
// What the library keeps in the program's struct aio_cb:
//   aio_state[0]  the request's handle (request.h)
//   aio_state[1]  what it returned
//   aio_state[2]  how it stands: 0 it was never queued; kClaimed, it is being queued; kUnderWay;
//                 kEnded and the errno above
// The last is written last, and what it says is all that is ever asked without a lock.
#pragma once

#include <sio/aio.h>

#include <atomic>
#include <cstdint>

namespace sio::internal {

class ControlBlock {
 public:
  explicit ControlBlock(const aio_cb& of) noexcept : state_(const_cast<aio_cb&>(of).aio_state) {}

  bool under_way() const noexcept { return status() == kUnderWay; }
  bool ended() const noexcept { return (status() & kMask) == kEnded; }
  // Under way, or ended: in one look, since the one may become the other between two.
  bool ever_queued() const noexcept {
    const uint64_t now = status();
    return now == kUnderWay || (now & kMask) == kEnded;
  }
  // Precondition: it has ended. 0 or its errno.
  int error() const noexcept { return static_cast<int>(status() >> kShift); }
  ssize_t returned() const noexcept { return static_cast<ssize_t>(state_[kReturned]); }
  uint64_t handle() const noexcept { return state_[kHandle]; }

  // Who queues a request claims it first, so that of several threads one does. False: it is under
  // way (still_so(handle) says whether that is true), or another thread is at it.
  template <typename StillSo>
  bool claim(StillSo still_so) noexcept {
    before_ = status();
    if (before_ == kClaimed || (before_ == kUnderWay && still_so(handle()))) return false;
    if (!std::atomic_ref(state_[kStatus]).compare_exchange_strong(before_, kClaimed)) return false;
    handle_before_ = state_[kHandle];
    return true;
  }
  // It was not queued: it is as it was before.
  void give_up() const noexcept {
    state_[kHandle] = handle_before_;
    set_status(before_);
  }

  void begin(uint64_t handle) const noexcept {
    state_[kHandle] = handle;
    set_status(kUnderWay);
  }
  // The last that the library does to it: the program may free it at once.
  void end(size_t bytes, int error) const noexcept {
    state_[kReturned] = bytes;
    set_status(kEnded | static_cast<uint64_t>(error) << kShift);
  }

 private:
  enum { kHandle, kReturned, kStatus };
  static constexpr uint64_t kUnderWay = 1;
  static constexpr uint64_t kEnded = 2;
  static constexpr uint64_t kClaimed = 3;
  static constexpr uint64_t kMask = 3;
  static constexpr unsigned kShift = 8;

  // Sequentially consistent: who is about to sleep says so and then looks here, who ends a request
  // writes here and then looks who sleeps (suspension.h).
  uint64_t status() const noexcept { return std::atomic_ref(state_[kStatus]).load(); }
  void set_status(uint64_t status) const noexcept {
    std::atomic_ref(state_[kStatus]).store(status);
  }

  uint64_t* const state_;
  uint64_t before_ = 0;
  uint64_t handle_before_ = 0;
};

}  // namespace sio::internal
