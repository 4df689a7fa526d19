// SPDX-License-Identifier: BSD-2-Clause
//
// Objects whose memory is never given back, so that a pointer that was good once can be locked
// and asked "are you still who I think you are?" without a reference count.
#pragma once

#include <mutex>
#include <vector>

namespace sio::internal {

// T is default-constructible and is made ready and cleaned up by its users; the pool only hands
// memory round. As large as the largest number of objects that were ever in use at once.
template <typename T>
class StablePool {
 public:
  T* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      if (total_.size() == total_.capacity()) total_.reserve(2 * total_.size() + 1);
      total_.push_back(new T);
      free_.reserve(total_.capacity());  // so that give_back never allocates
      return total_.back();
    }
    T* object = free_.back();
    free_.pop_back();
    return object;
  }

  void give_back(T* object) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(object);
  }

  // The i-th of all, whoever uses it now; NULL: there are not so many.
  T* made(size_t i) noexcept {
    const std::lock_guard lock(mutex_);
    return i < total_.size() ? total_[i] : nullptr;
  }

 private:
  std::mutex mutex_;
  std::vector<T*> free_;
  std::vector<T*> total_;  // keeps all objects reachable
};

}  // namespace sio::internal
