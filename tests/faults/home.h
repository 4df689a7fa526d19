// SPDX-License-Identifier: BSD-2-Clause
//
// Where the sockets of one side of a schedule live: their channel or none, their area, and their
// requests. What comes in the channel is told to the guest that it is for.
#pragma once

#include <sio/aio.h>
#include <sio/sio.h>
#include <sys/uio.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace sio::test {

using Random = std::mt19937_64;

class Guest;

// A request, until its end was told.
struct Request {
  Guest* guest = nullptr;
  aio_cb block{};
  msghdr message{};
  sockaddr_storage to{};
  std::vector<iovec> pieces;  // lent, and the program's again at the end
  std::vector<iovec> all;     // of the message
  std::vector<char> copied;
  bool receives = false;
  bool ended = false;
  event_data_t outcome{};
};

class Home {
 public:
  enum class Way { kAlone, kDelivering, kReadable };  // no channel, or how messages come in it
  static constexpr size_t kAreaBytes = size_t{4} << 20;

  // `shared`: its sockets have one receive memory.
  Home(Random& random, uint64_t seed, Way way, bool shared);
  ~Home();
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  bool stands() const { return area_ != nullptr && notices_ >= 0 && (alone() || channel_ >= 0); }
  bool alone() const { return way_ == Way::kAlone; }
  bool delivers() const { return way_ == Way::kDelivering; }
  ec_t channel() const { return channel_; }
  dma_mem_t area() const { return area_; }
  uint64_t below(uint64_t n) { return random_() % n; }
  std::string trace() const { return " (SIO_FAULT_SEED=" + std::to_string(seed_) + ")"; }

  void enter(int socket, void* cookie) const;
  // Receive memory of its own half of the time, perhaps with room for large messages.
  // False: it could not be had, so what the socket sends from the area is copied.
  bool associate(int socket);

  void take_events();

  // One that will be told of in the channel, or in one that is for such alone.
  Request& add_request(Guest& guest, int socket);
  void drop(const Request& request) { requests_.erase(&request.block); }
  void cancel_one();
  bool requests_ended() const { return requests_.empty(); }

  void check_accounts() const;
  // After the guests have closed and been told.
  void end();

 private:
  void take_events(ec_t channel);

  Random& random_;
  const uint64_t seed_;
  const Way way_;
  const size_t shared_;  // bytes; 0: each has its own
  dma_mem_t area_ = nullptr;
  ec_t channel_ = -1;
  ec_t notices_ = -1;
  std::map<const aio_cb*, std::unique_ptr<Request>> requests_;
  bool ended_ = false;
};

}  // namespace sio::test
