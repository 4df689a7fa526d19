// SPDX-License-Identifier: BSD-2-Clause
#include "event/futex_watch.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/error.h"
#include "base/thread.h"

namespace sio::internal {
namespace {

constexpr size_t kMostWords = FUTEX_WAITV_MAX - 1;

// Whether a wake-up of this word has come, or it has another value: its place, or -1 and errno.
long wait_for_any(const futex_waitv* words, unsigned n) noexcept {
  return syscall(SYS_futex_waitv, words, n, 0, nullptr, 0);
}

bool kernel_can() noexcept { return wait_for_any(nullptr, 0) != -1 || errno != ENOSYS; }

uint32_t read_word(uint32_t* address) noexcept {
  return std::atomic_ref<uint32_t>(*address).load(std::memory_order_acquire);  // as its users do
}

// 0, EAGAIN: it has another value, or EFAULT. The kernel looks, since the program may have unmapped
// the word: a request to move none of its waiters to itself, if it has this value.
int compare(uint32_t* address, uint32_t value) noexcept {
  constexpr auto kNone = nullptr;
  return syscall(SYS_futex, address, FUTEX_CMP_REQUEUE, 0, kNone, address, value) >= 0 ? 0 : errno;
}

futex_waitv waiter(uint32_t* address, uint32_t value, bool shared) noexcept {
  futex_waitv one{};
  one.uaddr = reinterpret_cast<uintptr_t>(address);
  one.val = value;
  one.flags = FUTEX_32 | (shared ? 0 : FUTEX_PRIVATE_FLAG);
  return one;
}

}  // namespace

class FutexWatch::Group {
 public:
  explicit Group(std::mutex& mutex) : mutex_(mutex) {
    entries_.reserve(kMostWords);
    const auto run = [](void* self) -> void* {
      static_cast<Group*>(self)->run();
      return nullptr;
    };
    pthread_detach(start_thread("sio-futex", run, this));
  }

  // Under the lock.
  bool has_room() const noexcept { return entries_.size() < kMostWords; }
  void add(uint64_t ticket, const Word& word, Heard heard) noexcept {
    entries_.push_back({ticket, word, std::move(heard), false, 0});
    change();
  }
  bool remove(uint64_t ticket) noexcept {
    if (std::erase_if(entries_, [=](const Entry& one) { return one.ticket == ticket; }) == 0) {
      return false;
    }
    change();
    return true;
  }

 private:
  struct Entry {
    uint64_t ticket;
    Word word;
    Heard heard;
    bool woken;
    int error;
  };

  void change() noexcept {
    changes_.fetch_add(1, std::memory_order_relaxed);  // the lock orders it
    syscall(SYS_futex, address_of_changes(), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, nullptr,
            nullptr, 0);
  }
  uint32_t* address_of_changes() noexcept { return reinterpret_cast<uint32_t*>(&changes_); }

  [[noreturn]] void run() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!tell_one(lock)) wait(lock);
    }
  }

  // One whose time has come: takes it out and tells of it, without the lock.
  bool tell_one(std::unique_lock<std::mutex>& lock) noexcept {
    for (Entry& one : entries_) {
      const int differs = compare(one.word.address, one.word.value);
      if (differs == 0 && !one.woken && one.error == 0) continue;
      const int error = differs == EFAULT ? EFAULT : one.error;
      const uint32_t now = error == 0 ? read_word(one.word.address) : 0;
      const Heard heard = std::move(one.heard);
      entries_.erase(entries_.begin() + (&one - entries_.data()));
      lock.unlock();
      heard(now, error);
      lock.lock();
      return true;
    }
    return false;
  }

  void wait(std::unique_lock<std::mutex>& lock) noexcept {
    std::array<futex_waitv, kMostWords + 1> words;
    std::array<uint64_t, kMostWords + 1> tickets;
    unsigned n = 0;
    tickets[n] = 0;
    words[n++] = waiter(address_of_changes(), changes_.load(std::memory_order_relaxed), false);
    for (const Entry& one : entries_) {
      tickets[n] = one.ticket;
      words[n++] = waiter(one.word.address, one.word.value, one.word.shared);
    }
    lock.unlock();
    const long woken = wait_for_any(words.data(), n);
    const int error = woken < 0 ? errno : 0;
    lock.lock();
    if (woken > 0) {
      for (Entry& one : entries_) one.woken |= one.ticket == tickets[static_cast<size_t>(woken)];
    } else if (error != 0 && error != EAGAIN && error != EINTR && error != EFAULT) {
      if (!entries_.empty()) entries_.front().error = error;  // one at a time, until it works
    }
  }

  std::mutex& mutex_;
  std::vector<Entry> entries_;
  std::atomic<uint32_t> changes_{0};
};

FutexWatch& FutexWatch::instance() {
  static FutexWatch* const watch = new FutexWatch;
  return *watch;
}

FutexWatch::FutexWatch() = default;

uint64_t FutexWatch::add(const Word& word, Heard heard) {
  if (!kernel_can()) throw_errno(ENOSYS, "futex_waitv");
  const std::lock_guard lock(mutex_);
  auto group =
      std::find_if(groups_.begin(), groups_.end(), [](const auto& one) { return one->has_room(); });
  if (group == groups_.end()) {
    groups_.reserve(groups_.size() + 1);
    group = groups_.insert(groups_.end(), std::make_unique<Group>(mutex_));
  }
  (*group)->add(++tickets_, word, std::move(heard));
  return tickets_;
}

void FutexWatch::remove(uint64_t ticket) noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& group : groups_) {
    if (group->remove(ticket)) return;
  }
}

}  // namespace sio::internal
