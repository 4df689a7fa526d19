// SPDX-License-Identifier: BSD-2-Clause
//
// Waits for futex words on behalf of all channels: futex_waitv(2) takes 128, so a thread waits for
// 127, and for one of its own by which it is told that the list has changed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace sio::internal {

class FutexWatch {
 public:
  struct Word {
    uint32_t* address;
    uint32_t value;  // as long as it is this
    bool shared;     // between processes
  };
  // What the word is now, and 0; or EFAULT: there is no memory there, or why the kernel no longer
  // waits for it. Called once, by a thread of the watch, without its lock. False: nobody wants to
  // know any more, and a wake-up is another waiter's.
  using Heard = std::function<bool(uint32_t now, int error)>;

  static FutexWatch& instance();

  // Throws std::system_error: ENOSYS, if the kernel has no futex_waitv (before 5.16) or
  // refuses it; ENOMEM.
  uint64_t add(const Word& word, Heard heard);
  // Afterwards the word is not read any more; `heard` may be running.
  void remove(uint64_t ticket) noexcept;

  // A wake-up that a source has got, or may have, and nobody was told of is another waiter's. To
  // wake one in vain is no harm: who waits for a futex has to reckon with that.
  static void pass_on(const Word& word) noexcept;

 private:
  class Group;

  FutexWatch();

  std::mutex mutex_;  // guards what follows, and all groups
  std::vector<std::unique_ptr<Group>> groups_;
  uint64_t tickets_ = 0;
};

}  // namespace sio::internal
