// SPDX-License-Identifier: BSD-2-Clause
//
// Sockets of one process talk over connections in messages or in bytes, by calls and by requests,
// with receive memory of their own or one that several share, and things go wrong as a seed says
// (fault_plan.h). Whatever it was: messages come in order and without gaps as far as they come,
// each lent buffer and each request has exactly one outcome, accounts add up, close returns, and
// nothing is left.
#include <gtest/gtest.h>
#include <sio/sio.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "conformance/support.h"
#include "faults/content.h"
#include "faults/schedule.h"

namespace sio::test {
namespace {

constexpr size_t kMostHeld = 40;       // received messages of one socket
constexpr size_t kMostHeldSlow = 200;  // of one that is slow to give them back
constexpr size_t kLargest = 6000;
constexpr size_t kLarge = 60'000;  // on the bulk lane

// One end of a connection.
class Side final : public Guest {
 public:
  Side(Home& home, int type, size_t largest, bool slow)
      : Guest(home, type, largest, slow ? kMostHeldSlow : kMostHeld),
        type_(type),
        content_(type == SOCK_STREAM) {}

  int type() const { return type_; }

  // Takes the place of the fresh socket: one that was accepted.
  void adopt(int accepted, bool lends) {
    if (home().alone()) sio_nonblock(accepted, 1);
    replace(accepted, lends);
  }
  // As a peer that is killed.
  void die() {
    if (!open()) return;
    const linger none{1, 0};
    sio_setsockopt(socket(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close();
  }
  void check_credits() const {
    sio_info info{};
    socklen_t size = sizeof info;
    if (!open() || sio_getsockopt(socket(), SOL_SIO, SIO_INFO, &info, &size) != 0) return;
    EXPECT_LE(info.credits, 64u) << trace();
    EXPECT_LE(info.sends_in_flight, 64u + 8u) << trace();
  }

 private:
  void put(void* to, size_t size) override { content_.put(to, size); }
  void accepted() override { content_.accepted(); }
  bool check(const void* data, size_t size, const sockaddr*) override {
    return content_.check(data, size);
  }

  const int type_;
  Content content_;
};

// A listener, and who connects to it: false if that failed, as it may.
bool connect(Side& near, Side& far) {
  const int listener = sio_socket(AF_INET, near.type() | SOCK_NONBLOCK, 0);
  if (listener < 0) return false;
  const Address any("127.0.0.1", 0);
  far.home().enter(listener, nullptr);
  const bool lends = far.home().associate(listener);  // the accepted socket inherits it
  bool ready = sio_bind(listener, any.get(), any.size()) == 0 && sio_listen(listener, 4) == 0;
  if (ready) {
    const Address name(listener, sio_getsockname);
    const int timeout = 300;
    sio_setsockopt(near.socket(), SOL_SIO, SIO_CONNECT_TIMEOUT, &timeout, sizeof timeout);
    ready = sio_connect(near.socket(), name.get(), name.size()) == 0 || errno == EINPROGRESS;
  }
  int accepted = -1;
  const auto look = [&] {
    near.take();
    accepted = !far.home().alone() ? sio_accept_ec(listener, nullptr, nullptr, SOCK_NONBLOCK,
                                                   far.home().channel(), &far)
                                   : sio_accept(listener, nullptr, nullptr);
    const int error = errno;
    uint32_t bits = 0;
    socklen_t size = sizeof bits;
    sio_getsockopt(near.socket(), SOL_SIO, SIO_READY, &bits, &size);
    return accepted >= 0 || (error != EAGAIN && error != ENOMEM && error != EIO) ||
           (bits & EPOLLERR) != 0;
  };
  if (ready) eventually(look, milliseconds(1000));
  sio_close(listener);
  if (accepted < 0) return false;
  far.adopt(accepted, lends);
  return true;
}

struct Ends {
  std::unique_ptr<Side> near;
  std::unique_ptr<Side> far;
};

class Schedule {
 public:
  Schedule(uint64_t seed, size_t most)
      : random_(seed),
        most_(most),
        near_((plan().begin(seed, faults_of(random_)), random_), seed, any_way(random_), shares()),
        far_(random_, seed, any_way(random_), shares()) {}

  void run() {
    if (near_.stands() && far_.stands()) {
      const size_t connections = most_ == 1 ? 1 : 2 + random_() % (most_ - 1);
      for (size_t i = 0; i < connections; ++i) join();
      const uint64_t steps = (50 + random_() % 400) * all_.size();
      for (uint64_t i = 0; i < steps && !over(); ++i) step();
      for (Ends& one : all_) {
        for (Side* side : {one.near.get(), one.far.get()}) {
          side->check_credits();
          side->release_all();
        }
      }
      near_.check_accounts();
      far_.check_accounts();
    }
    plan().end();
    std::vector<Guest*> guests;
    for (Ends& one : all_) guests.insert(guests.end(), {one.near.get(), one.far.get()});
    end_all({&near_, &far_}, guests);
  }

 private:
  bool shares() { return most_ > 1 && random_() % 4 != 0; }
  bool over() const {
    return std::all_of(all_.begin(), all_.end(),
                       [](const Ends& one) { return one.near->over() && one.far->over(); });
  }

  void join() {
    const int type = random_() % 3 == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    const auto make = [&](Home& home) {
      const size_t largest = random_() % 2 == 0 ? kLarge : kLargest;
      return std::make_unique<Side>(home, type, largest, most_ > 1 && random_() % 3 == 0);
    };
    all_.push_back({make(near_), make(far_)});
    Ends& fresh = all_.back();
    if (fresh.near->open() && fresh.far->open() && connect(*fresh.near, *fresh.far)) return;
    fresh.near->close();
    fresh.far->close();
  }

  void step() {
    Ends& one = all_[random_() % all_.size()];
    Side& side = random_() % 2 == 0 ? *one.near : *one.far;
    if (most_ > 1 && random_() % 200 == 0) {
      side.die();
      if (all_.size() < 2 * most_) join();
      return;
    }
    side.act();
  }

  Random random_;
  const size_t most_;
  Home near_;
  Home far_;
  std::vector<Ends> all_;
};

TEST(Faults, LeaveNothingBehind) {
  run_schedules(400, [](uint64_t seed) { Schedule(seed, 1).run(); });
}

// Several connections of one channel and one receive memory: some slow, and some that die.
TEST(FaultsOfSharedMemory, LeaveNothingBehind) {
  run_schedules(150, [](uint64_t seed) { Schedule(seed, 5).run(); });
}

}  // namespace
}  // namespace sio::test
