// SPDX-License-Identifier: BSD-2-Clause
//
// What tests of the seam work with: a completion channel with one queue, and registered memory;
// and connections between two of these.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string_view>
#include <vector>

#include "conformance/support.h"
#include "provider/provider.h"

namespace sio::test {

// Of queue pairs that are connected, and of those for datagrams.
inline constexpr internal::provider::QueueSizes kSizes{16, 16, 4, 64, nullptr};
inline constexpr internal::provider::QueueSizes kDatagramSizes{16, 16, 2, 64, nullptr};
inline constexpr size_t kGrh = internal::provider::QueuePair::kGrhBytes;

inline auto has_status(ibv_wc_status status) {
  return testing::Field("status", &ibv_wc::status, status);
}

class Desk {
 public:
  static constexpr size_t kSlot = 4200;  // bytes: a datagram with its header
  static constexpr size_t kSlots = 256;

  explicit Desk(internal::provider::Device& device, uint32_t entries = 1024);

  char* slot(size_t n) { return memory_.data() + n * kSlot; }
  ibv_sge piece(size_t n, size_t bytes);
  std::string_view text(size_t n, size_t offset, size_t bytes) { return {slot(n) + offset, bytes}; }

  internal::provider::CompletionChannel& channel() { return *channel_; }
  internal::provider::CompletionQueue& queue() { return *queue_; }

  // The next n completions; throws when they do not come.
  std::vector<ibv_wc> expect(size_t n);
  // What comes within this time.
  std::vector<ibv_wc> poll_for(milliseconds time);
  // Sleeps for the channel's notification, which is taken. False: none came.
  bool sleep(milliseconds limit);

 private:
  std::vector<char> memory_;
  std::unique_ptr<internal::provider::MemoryRegion> region_;
  std::unique_ptr<internal::provider::CompletionChannel> channel_;
  std::unique_ptr<internal::provider::CompletionQueue> queue_;
};

// The device that Address::self() is on.
internal::provider::Device& own_device();

// A receive or a send of a slot; wr_id is its number.
void receive_into(internal::provider::QueuePair& pair, Desk& desk, size_t slot,
                  size_t bytes = Desk::kSlot);
void send(internal::provider::QueuePair& pair, Desk& desk, size_t slot, size_t bytes,
          unsigned flags = IBV_SEND_SIGNALED);

// A queue pair and its endpoint, in the order in which they go.
struct End {
  std::unique_ptr<internal::provider::Endpoint> endpoint;
  std::unique_ptr<internal::provider::QueuePair> pair;

  // Of slots of a desk; wr_id is the slot's number.
  void receive_into(Desk& desk, size_t slot, size_t bytes = Desk::kSlot) {
    test::receive_into(*pair, desk, slot, bytes);
  }
  void send(Desk& desk, size_t slot, size_t bytes, unsigned flags = IBV_SEND_SIGNALED) {
    test::send(*pair, desk, slot, bytes, flags);
  }
};

struct Connection {
  End near;  // has connected
  End far;   // has accepted
};
Connection connect(Desk& near, const internal::provider::QueueSizes& near_sizes, Desk& far,
                   const internal::provider::QueueSizes& far_sizes);

// A receive of a slot, for a shared receive queue.
void post_shared(internal::provider::SharedReceiveQueue& queue, Desk& desk, size_t slot);

std::vector<uint64_t> wr_ids(const std::vector<ibv_wc>& completions);

}  // namespace sio::test
