// SPDX-License-Identifier: BSD-2-Clause
//
// Streams of messages that both ends can compute: sizes, contents and order follow from a seed,
// so that each receiver checks every byte, and that nothing is lost, doubled or out of order.
#pragma once

#include <random>
#include <unordered_map>

#include "conformance/support.h"

namespace sio::test {

inline constexpr size_t kSlot = 8192;  // bytes of payload of a slot, unless set otherwise

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  uint32_t next() { return static_cast<uint32_t>(engine_()); }
  uint32_t below(size_t n) { return static_cast<uint32_t>(engine_() % n); }

 private:
  std::mt19937 engine_;
};

// About this long, without sleeping.
void spin_for(std::chrono::nanoseconds time);

class Pattern {
 public:
  // Sizes from 0 to `largest`, of all orders of magnitude; or all of `fixed` bytes.
  explicit Pattern(uint64_t seed, size_t largest = kSlot) : seed_(seed), largest_(largest) {}
  static Pattern of_size(uint64_t seed, size_t fixed);

  size_t size(uint64_t n) const;
  void fill(void* at, uint64_t n, size_t size) const;
  bool matches(const void* at, uint64_t n, size_t size) const;

 private:
  uint64_t seed_;
  size_t largest_;
  bool fixed_ = false;
};

// What comes in, checked.
class Inflow {
 public:
  explicit Inflow(Pattern pattern, uint64_t count = UINT64_MAX)
      : pattern_(pattern), count_(count) {}

  void take(const void* data, size_t size);  // throws when it is not the next one
  void take(const Message& message) { take(message.data(), message.size()); }
  bool finished() const { return taken_ == count_; }
  uint64_t taken() const { return taken_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Pattern pattern_;
  uint64_t count_;
  uint64_t taken_ = 0;
  uint64_t bytes_ = 0;
};

// How a message is handed to sio_send.
enum class Lend {
  kCopy,     // from memory that is in no area
  kSent,     // a block of an area; EC_SENT gives it back
  kRelease,  // a block of an area, SIO_RELEASE
  kMixed,    // each of these by turns, as far as its size allows
};

// What goes out. Never blocks.
class Outflow {
 public:
  Outflow(Socket& socket, Pattern pattern, uint64_t count, Lend lend = Lend::kCopy,
          const Area* area = nullptr, size_t copy_max = 1024);

  // Sends at most `most` messages. True: no more before an EC_WRITABLE or EC_SENT, or error().
  bool pump(uint64_t most = UINT64_MAX);
  // EC_SENT: throws if nothing was lent there, or it failed.
  void sent(const event_data_t& event);
  // EC_SENT of a connection that failed: counts it.
  void outcome(const event_data_t& event);

  bool all_sent() const { return sent_ == count_; }
  bool finished() const { return all_sent() && lent_.empty(); }
  uint64_t count() const { return sent_; }
  uint64_t bytes() const { return bytes_; }
  size_t lent() const { return lent_.size(); }  // EC_SENT that are owed
  int error() const { return error_; }          // errno of a send that failed; then no more

 private:
  enum class Result { kQueued, kNoRoom, kNoMemory };

  Lend way_of(uint64_t n, size_t size) const;
  Result send_next();
  bool prepare();

  Socket& socket_;
  Pattern pattern_;
  uint64_t count_;
  Lend lend_;
  const Area* area_;
  size_t copy_max_;
  std::vector<char> copied_;
  Message next_;  // prepared, not accepted yet
  bool prepared_ = false;
  uint64_t sent_ = 0;
  uint64_t bytes_ = 0;
  int error_ = 0;
  std::unordered_map<const void*, Message> lent_;
};

// Both directions at once, over a channel that delivers: until all is sent, acknowledged and
// taken.
// Whether the peer has ended meanwhile.
bool exchange(const Channel& channel, Outflow& out, Inflow& in);

// How a program receives.
enum class Way { kDeliver, kReadable, kBlocking, kPoll };
Way way_of(const std::string& name);  // deliver, readable, blocking, poll
uint32_t events_of(Way way);          // 0: in no channel

// The next message, waited for; empty: the peer sends no more.
Message receive_one(Way way, const Channel* channel, Socket& socket);
// Takes messages until `in` is finished or the peer sends no more.
void receive_all(Way way, const Channel* channel, Socket& socket, Inflow& in);

// Sends one stream from blocking calls: copies, or blocks that are released by themselves.
void send_all_blocking(Socket& socket, Pattern pattern, uint64_t count, const Area* area = nullptr);

}  // namespace sio::test
