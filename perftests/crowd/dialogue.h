// SPDX-License-Identifier: BSD-2-Clause
//
// Questions and answers about a crowd, on the connection that asked for it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "crowd/usage.h"

namespace sio_perf {

class Dialogue {
 public:
  using Bytes = std::vector<unsigned char>;
  static constexpr size_t kMostBytes = 64;

  Dialogue() = default;
  Dialogue(const Dialogue&) = delete;
  Dialogue& operator=(const Dialogue&) = delete;
  virtual ~Dialogue() = default;

  // Throw PeerGone.
  virtual void tell(std::span<const unsigned char> bytes) = 0;
  virtual Bytes hear() = 0;

  // A client's questions: where each channel of the server's listens, its listeners one after the
  // other; what the server uses; and its processor time alone, which costs next to none.
  std::vector<uint16_t> ask_ports();
  Usage ask_usage();
  uint64_t ask_cpu();

  // A server's part, until the client goes, by PeerGone.
  void answer(const std::vector<uint16_t>& ports);
};

}  // namespace sio_perf
