// SPDX-License-Identifier: BSD-2-Clause
//
// Slots that the program gave back are posted again in batches. Who releases the last one of a
// batch may hold another channel's lock (a buffer that was forwarded), so it only notes the
// socket here; the call posts them once it holds no lock.
#pragma once

#include <cstdint>

namespace sio::internal {

class Socket;

class ReturnedSlots {
 public:
  // A Region's callback; `socket` is a Socket*.
  static void note(void* socket) noexcept;
  // At the end of every call that may release, without any lock.
  static void post_noted() noexcept {
    if (count_ > 0) post_all();
  }

 private:
  static void post_all() noexcept;

  // initial-exec: every call looks here, so it must not cost a call itself. That takes a word of
  // what the dynamic linker keeps for libraries that are loaded late.
  [[gnu::tls_model("initial-exec")]] static thread_local constinit unsigned count_;
};

}  // namespace sio::internal
