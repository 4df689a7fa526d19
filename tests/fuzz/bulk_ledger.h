// SPDX-License-Identifier: BSD-2-Clause
//
// What two ends may say to each other of messages larger than a slot, and over the lane for these;
// as ledger.h does of the rest.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "talk.h"

namespace sio::test {

class BulkLedger {
 public:
  struct Limits {
    uint32_t slot_size;
    uint64_t most;  // bytes in one message
  };
  void we_say(Limits limits) { ours_ = limits; }
  void peer_says(Limits limits) { peers_ = limits; }
  const Limits& ours() const { return ours_; }

  // Of ours.
  void lane_sent(const std::string& payload, uint32_t number);
  bool told() const { return told_; }
  void announced(const std::string& message);
  void grants_came_up(uint32_t n) { granted_ += n; }
  // A piece; whether it is a message's last.
  bool sent(const std::string& piece);

  // Of the peer's. False: it breaks the protocol.
  bool lane_came(const char* payload, uint32_t length);
  bool grants_came(uint32_t n) const { return n == 0 || heard_; }
  // NULL: it breaks the protocol.
  std::shared_ptr<Incoming> announcement_came(uint32_t length);
  // What our end does for these.
  void posted(const char* at, uint32_t length);
  void grants_sent(uint32_t n);
  void came(bool plain, const char* at, size_t length);

  // What an honest peer would do next: how many it may yet announce, how long the next piece is
  // (0: none is due), how many announcements of ours it has not granted.
  uint32_t may_announce() const;
  uint32_t due() const;
  uint32_t to_grant() const;
  void grants_on_their_way(uint32_t n) { on_their_way_ += n; }

 private:
  struct Message {
    std::shared_ptr<Incoming> what;
    size_t posted = 0;  // bytes
  };

  Limits ours_{};
  Limits peers_{};

  bool told_ = false;
  std::deque<std::string> outgoing_;  // announced, and not all of it has left
  uint64_t announced_ = 0;
  uint64_t granted_ = 0;
  uint64_t on_their_way_ = 0;  // grants that the peer has sent
  uint64_t left_ = 0;          // messages
  size_t sent_ = 0;            // bytes of the first of them

  bool heard_ = false;
  bool broken_ = false;
  std::vector<Message> incoming_;
  size_t posted_ = 0;  // messages, as all of these
  size_t grants_ = 0;
  size_t come_ = 0;
};

}  // namespace sio::test
