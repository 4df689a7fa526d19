// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace sio::internal {

// What a request is to do.
struct Operation {
  enum class Kind : uint8_t { kRead, kWrite, kSend, kReceive, kSendMessage, kReceiveMessage };

  Kind kind;
  int fd;
  void* buf;
  size_t length;
  off_t offset;     // kRead, kWrite
  msghdr* message;  // kSendMessage, kReceiveMessage
  int flags;
  bool on_socket = false;  // of libsio's

  bool has_message() const noexcept {
    return kind == Kind::kSendMessage || kind == Kind::kReceiveMessage;
  }
};

}  // namespace sio::internal
