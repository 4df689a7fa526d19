// SPDX-License-Identifier: BSD-2-Clause
//
// Work that turns up while a thread holds a lock and that needs another one. It is noted, and done
// by the same thread when it holds none: at the end of a call, and before it sleeps within one.
#pragma once

#include <atomic>

namespace sio::internal {

class Deferred {
 public:
  // Asks for one run(). An object that is noted already, by whatever thread, is not noted twice.
  void note() noexcept;

  // Whether this thread has noted something that it has not done.
  static bool any() noexcept { return first_ != nullptr; }
  // Without any lock.
  static void run_noted() noexcept {
    if (any()) run_all();
  }

 protected:
  ~Deferred() = default;
  // In a thread that holds no lock. The object is one that is never freed.
  virtual void run() noexcept = 0;

 private:
  static void run_all() noexcept;

  std::atomic<bool> noted_{false};
  Deferred* next_ = nullptr;

  // initial-exec: every call looks here, so it must not cost a call itself. That takes a word of
  // what the dynamic linker keeps for libraries that are loaded late.
  [[gnu::tls_model("initial-exec")]] static thread_local constinit Deferred* first_;
};

}  // namespace sio::internal
