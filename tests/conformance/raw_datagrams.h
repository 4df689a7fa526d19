// SPDX-License-Identifier: BSD-2-Clause
//
// A queue pair for datagrams that keeps to no protocol: what anybody may send to a datagram socket.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "conformance/support.h"
#include "provider/provider.h"

namespace sio::test {

class RawDatagrams {
 public:
  // At one of this machine's addresses; sends to who is found at `to`.
  RawDatagrams(const Address& self, const Address& to);

  uint16_t port() const;
  // With this immediate data, in host byte order. Until it has left.
  void send(std::string_view payload, std::optional<uint32_t> immediate, bool solicited = true);
  // With another destination than who was found.
  void send_astray(uint32_t wrong_key, uint32_t wrong_number);
  // How many datagrams that are none of libsio's were sent, all in all.
  static constexpr int kRubbish = 203;
  void send_rubbish();

 private:
  void post(ibv_send_wr& wr, std::string_view payload);

  std::unique_ptr<internal::provider::Endpoint> endpoint_;
  std::vector<char> memory_;
  std::unique_ptr<internal::provider::MemoryRegion> region_;
  std::unique_ptr<internal::provider::CompletionChannel> channel_;
  std::unique_ptr<internal::provider::CompletionQueue> queue_;
  std::unique_ptr<internal::provider::QueuePair> pair_;
  std::unique_ptr<internal::provider::Destination> to_;
};

}  // namespace sio::test
