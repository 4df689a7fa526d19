// SPDX-License-Identifier: BSD-2-Clause
//
// Both ends of a connection in one thread, which takes turns: so nothing waits, and what is counted
// between two moments is what the messages between them took.
#pragma once

#include <sio/sio.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace sio::test {

// How a message is handed to the socket.
enum class Give : uint8_t {
  kCopied,    // from memory in no area
  kLent,      // a block of an area; EC_SENT brings it back
  kReleased,  // a block reserved for it, SIO_RELEASE
  kGathered,  // sio_sendmsg: two pieces that are copied, and a block between them
  kMore,      // copied, with MSG_MORE but for each sixteenth
};
// How it is taken.
enum class Take : uint8_t { kDelivered, kReceived };  // EC_RECV; sio_recv at EC_READABLE

class BothEnds {
 public:
  // bulk_bytes: of receive memory beyond the slots, and messages as long as that allows.
  BothEnds(Give give, Take take, size_t message_bytes, size_t bulk_bytes = 0);
  BothEnds(const BothEnds&) = delete;
  BothEnds& operator=(const BothEnds&) = delete;
  ~BothEnds();

  // n messages from one end to the other, all of them taken, and what was lent brought back.
  void exchange(uint64_t n);

  // Single steps of it. send(): 0 or the errno; nothing is taken. Those that take say how many.
  int send() noexcept;
  uint64_t send_until_full() noexcept;
  uint64_t take_messages() noexcept;
  uint64_t take_outcomes() noexcept;
  // An EC_SENT that was taken elsewhere has brought it.
  void take_block(void* block) noexcept { free_.push_back(static_cast<std::byte*>(block)); }

  const sio::Channel& near_channel() const { return near_channel_; }
  const sio::Channel& far_channel() const { return far_channel_; }
  sio::Socket& near() { return near_; }
  sio::Socket& far() { return far_; }
  const sio::Area& area() const { return area_; }
  size_t lent() const { return blocks_.size() - free_.size(); }
  // Messages that were not what was sent next, or as long.
  uint64_t wrong() const { return wrong_; }

 private:
  static constexpr size_t kBlocks = 2048;

  void connect(Take take, size_t bulk_bytes);
  void warm_up();
  int send_as(Give give) noexcept;
  int send_gathered(std::byte* block) noexcept;
  void look_at(const std::byte* message, size_t size) noexcept;
  uint64_t take_delivered() noexcept;
  uint64_t take_received() noexcept;

  Give give_;
  Take take_;
  size_t bytes_;
  // In this order: what uses something goes before it.
  sio::Area area_;  // of what is sent
  sio::Area far_area_;
  sio::Channel near_channel_{0u};
  sio::Channel far_channel_{0u};
  std::vector<sio::Buffer> blocks_;  // for what is lent
  std::vector<std::byte*> free_;     // those that are the program's
  sio::Socket near_;
  sio::Socket far_;
  std::array<std::byte, 8192> copied_{};
  uint64_t sent_ = 0;
  uint64_t taken_ = 0;
  uint64_t wrong_ = 0;
};

const char* name_of(Give give);
const char* name_of(Take take);

}  // namespace sio::test
