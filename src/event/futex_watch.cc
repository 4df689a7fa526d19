// SPDX-License-Identifier: BSD-2-Clause
#include "event/futex_watch.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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
constexpr int kMostFruitless = 8;

// Whether a wake-up of this word has come, or it has another value: its place, or -1 and errno.
long wait_for_any(const futex_waitv* words, unsigned n) noexcept {
  return syscall(SYS_futex_waitv, words, n, 0, nullptr, 0);
}

// Where there is such a call it finds no words to wait for. Else it is missing, or a filter of
// system calls refuses it, with whatever errno it likes.
bool kernel_can() noexcept { return wait_for_any(nullptr, 0) == -1 && errno == EINVAL; }

// 0, EAGAIN: it has another value, or EFAULT. The kernel looks, since the program may have unmapped
// the word: a request to move none of its waiters to itself, if it has this value.
int compare(const FutexWatch::Word& word, uint32_t value) noexcept {
  constexpr auto kNone = nullptr;
  const int call = FUTEX_CMP_REQUEUE | (word.shared ? 0 : FUTEX_PRIVATE_FLAG);
  return syscall(SYS_futex, word.address, call, 0, kNone, word.address, value) >= 0 ? 0 : errno;
}

// 0 or an errno. By the kernel, too.
int copy_word(const FutexWatch::Word& word, uint32_t& value) noexcept {
  const iovec to{&value, sizeof value};
  const iovec from{word.address, sizeof value};
  const ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
  return n == ssize_t{sizeof value} ? 0 : n < 0 ? errno : EFAULT;
}

// What the word is now: 0, or EFAULT. A copy may be torn, so the kernel is asked whether the word
// has this value; one that changes all the time is taken as it comes.
int read_word(const FutexWatch::Word& word, uint32_t& value) noexcept {
  constexpr int kTries = 100;
  int failed = 0;
  for (int i = 0; i < kTries && failed == 0; ++i) {
    failed = copy_word(word, value);
    const int differs = failed == 0 ? compare(word, value) : EAGAIN;
    if (differs != EAGAIN) return differs;
  }
  if (failed == 0 || failed == EFAULT) return failed;
  if (compare(word, value) == EFAULT) return EFAULT;
  // A filter of system calls forbids the kernel to copy. The word was there just now.
  value = std::atomic_ref<uint32_t>(*word.address).load(std::memory_order_acquire);
  return 0;
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
    entries_.push_back({ticket, word, std::move(heard)});
    change();
  }
  bool remove(uint64_t ticket) noexcept {
    const auto found = find(ticket);
    if (found == entries_.end()) return false;
    const Word word = found->word;
    const bool time_has_come = found->woken || compare(word, word.value) != 0;
    entries_.erase(found);
    if (time_has_come) hand_on(word);
    change();
    return true;
  }

 private:
  struct Entry {
    uint64_t ticket;
    Word word;
    Heard heard;
    bool waits = false;  // since a call of the kernel's that may have taken its wake-up
    bool woken = false;
    int error = 0;
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
      const int differs = compare(one.word, one.word.value);
      if (differs == 0 && !one.woken && one.error == 0) continue;
      uint32_t now = one.word.value;
      int error = differs == EFAULT ? EFAULT : one.error;
      if (error == 0 && differs != 0) error = read_word(one.word, now);
      if (error != 0) now = 0;
      fruitless_ = 0;
      const bool waited = one.waits;
      const Word word = one.word;
      const Heard heard = std::move(one.heard);
      entries_.erase(entries_.begin() + (&one - entries_.data()));
      lock.unlock();
      const bool known = heard(now, error);
      lock.lock();
      if (waited && !known) hand_on(word);
      return true;
    }
    return false;
  }

  void wait(std::unique_lock<std::mutex>& lock) noexcept {
    std::array<futex_waitv, kMostWords + 1> words;
    std::array<uint64_t, kMostWords + 1> tickets{};
    unsigned n = 0;
    words[n++] = waiter(address_of_changes(), changes_.load(std::memory_order_relaxed), false);
    for (Entry& one : entries_) {
      one.waits = true;
      tickets[n] = one.ticket;
      words[n++] = waiter(one.word.address, one.word.value, one.word.shared);
    }
    lock.unlock();
    const long woken = n > 1 ? wait_for_any(words.data(), n) : wait_for_change(words[0].val);
    const int error = woken < 0 ? errno : 0;
    lock.lock();
    if (woken >= 0) fruitless_ = 0;
    if (woken > 0) {
      const auto last = static_cast<size_t>(woken);
      for (size_t i = 1; i <= last; ++i) told_of(tickets[i], words[i], i == last);
    } else if (is_trouble(error) && !entries_.empty()) {
      entries_.front().error = error;  // one at a time, until it works
    }
  }

  std::vector<Entry>::iterator find(uint64_t ticket) noexcept {
    return std::find_if(entries_.begin(), entries_.end(),
                        [=](const Entry& one) { return one.ticket == ticket; });
  }

  // The kernel says which word was woken last; those before it may have been, too. (Of these one
  // that is unchanged is not known to have been.)
  void told_of(uint64_t ticket, const futex_waitv& waited, bool woken) noexcept {
    const auto found = find(ticket);
    if (found == entries_.end()) {
      hand_on(
          {reinterpret_cast<uint32_t*>(waited.uaddr), 0, (waited.flags & FUTEX_PRIVATE_FLAG) == 0});
    } else if (woken) {
      found->woken = true;
    }
  }

  // The wake-up of a word whose source has been taken out is another waiter's: of one here that was
  // waiting then, and is not told anyway, or of one that the kernel knows. If there is none, or the
  // word has gone, nobody misses it.
  void hand_on(const Word& word) noexcept {
    for (Entry& one : entries_) {
      const bool same = one.word.address == word.address && one.word.shared == word.shared;
      if (!same || !one.waits || one.woken || compare(one.word, one.word.value) != 0) continue;
      one.woken = true;
      return;
    }
    pass_on(word);
  }

  // With no words there is no need of a call that may be refused, over and over again.
  long wait_for_change(uint64_t seen) noexcept {
    return syscall(SYS_futex, address_of_changes(), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, nullptr);
  }

  // Whether waiting fails for good. EFAULT: of a word that is told of then, unless the kernel finds
  // it at the next look, and does not when it waits.
  bool is_trouble(int error) noexcept {
    if (error == EFAULT) return ++fruitless_ > kMostFruitless;
    return error != 0 && error != EAGAIN && error != EINTR;
  }

  std::mutex& mutex_;
  std::vector<Entry> entries_;
  std::atomic<uint32_t> changes_{0};
  int fruitless_ = 0;  // waits in a row that failed with EFAULT
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

void FutexWatch::pass_on(const Word& word) noexcept {
  const int call = FUTEX_WAKE | (word.shared ? 0 : FUTEX_PRIVATE_FLAG);
  syscall(SYS_futex, word.address, call, 1, nullptr, nullptr, 0);
}

void FutexWatch::remove(uint64_t ticket) noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& group : groups_) {
    if (group->remove(ticket)) return;
  }
}

}  // namespace sio::internal
