// SPDX-License-Identifier: BSD-2-Clause
//
// Two sockets of one process talk in messages or in bytes, and things go wrong as a seed says
// (faulty_provider.h). Whatever it was: messages come in order and without gaps as far as they
// come, each lent buffer has exactly one outcome, accounts add up, close returns, and nothing is
// left. SIO_FAULT_SEED=N runs that one schedule, SIO_FAULT_SCHEDULES=N so many.
#include <gtest/gtest.h>
#include <sio/sio.h>
#include <sys/uio.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "conformance/support.h"
#include "faults/content.h"
#include "faults/faulty_provider.h"

namespace sio::test {
namespace {

constexpr size_t kAreaBytes = size_t{4} << 20;
constexpr size_t kSlotBytes = size_t{68} * 8192;
constexpr size_t kMostHeld = 40;  // received messages of one side

// One end, with its area and perhaps a channel.
class Side {
 public:
  Side(std::mt19937_64& random, uint64_t seed, int type, bool joined)
      : random_(random), seed_(seed), type_(type), content_(type == SOCK_STREAM) {
    if (dma_alloc(&area_, kAreaBytes, 0) != 0) return;
    socket_ = sio_socket(AF_INET, type | SOCK_NONBLOCK, 0);
    linger abort{1, static_cast<int>(below(2))};
    sio_setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    if (joined) {
      channel_ = ec_create(0);
      ec_add_fd(channel_, socket_, EC_DELIVER, nullptr);
    }
    associate(socket_);
  }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;
  ~Side() { EXPECT_TRUE(ended_) << trace(); }

  bool stands() const { return area_ != nullptr && socket_ >= 0; }
  int socket() const { return socket_; }
  int type() const { return type_; }
  ec_t channel() const { return channel_; }
  dma_mem_t area() const { return area_; }
  bool over() const { return over_; }

  // Receive memory of its own, half of the time, and then with room for large messages.
  void associate(int socket) {
    const size_t receive = below(2) == 0 ? 0 : kSlotBytes + (size_t{40'000} << below(3));
    dma_assoc(socket, area_, receive, receive == 0 ? DMA_SEND : 0);
  }

  // Takes the place of the fresh socket: one that was accepted.
  void adopt(int accepted) {
    if (channel_ < 0) sio_nonblock(accepted, 1);
    close();
    socket_ = accepted;
  }

  void act() {
    switch (below(14)) {
      case 0:
      case 1:
      case 2:
        return send_copy();
      case 3:
      case 4:
        return send_lent(false);
      case 5:
        return send_lent(true);
      case 6:
        return send_pieces();
      case 7:
        return release_one();
      case 8: {
        timespec zero{};
        sio_flush(socket_, &zero);
        return;
      }
      default:
        return take();
    }
  }

  // Whatever has come.
  void take() {
    if (channel_ >= 0) return take_events();
    void* data;
    int n;
    while (held_.size() < kMostHeld && (n = sio_recv(socket_, &data, most(), 0)) >= 0) {
      if (data == nullptr) {
        over_ = true;
        return;
      }
      received(data, static_cast<size_t>(n));
    }
    if (held_.size() < kMostHeld && errno != EAGAIN) over_ = true;
  }

  void release_all() {
    while (!held_.empty()) release_one();
  }

  void check_credits() const {
    sio_info info{};
    socklen_t size = sizeof info;
    if (sio_getsockopt(socket_, SOL_SIO, SIO_INFO, &info, &size) != 0) return;
    EXPECT_LE(info.credits, 64u) << trace();
    EXPECT_LE(info.sends_in_flight, 64u + 8u) << trace();
  }

  // Everything comes to its end, and nothing is left.
  void end() {
    ended_ = true;
    if (area_ == nullptr) return;
    close();
    // Each outcome that is owed comes.
    const bool all_told = eventually([&] {
      if (channel_ >= 0) take_events();
      return lent_.empty() || channel_ < 0;
    });
    EXPECT_TRUE(all_told) << lent_.size() << " outcomes are missing" << trace();
    for (const auto& [first, pieces] : lent_) release(pieces, "the socket has gone");
    release_all();
    if (channel_ >= 0) {
      EXPECT_EQ(ec_destroy(channel_), 0) << trace();
    }
    EXPECT_TRUE(eventually([&] { return dma_free(area_, kAreaBytes) == 0; })) << trace();
  }

 private:
  static constexpr size_t kLargest = 6000;
  static constexpr size_t kLarge = 60'000;  // on the bulk lane

  std::string trace() const { return " (SIO_FAULT_SEED=" + std::to_string(seed_) + ")"; }
  uint64_t below(uint64_t n) { return random_() % n; }
  bool is_stream() const { return type_ == SOCK_STREAM; }
  size_t most() { return is_stream() && below(2) == 0 ? 1 + below(3000) : SIZE_MAX; }

  void close() {
    if (socket_ < 0) return;
    EXPECT_EQ(sio_close(std::exchange(socket_, -1)), 0) << trace();
  }

  void send_copy() {
    char text[400];
    const size_t size = 8 + below(sizeof text - 8);
    content_.put(text, size);
    const int more = below(4) == 0 ? MSG_MORE : 0;
    if (sio_send(socket_, text, size, MSG_DONTWAIT | more) == 0) content_.accepted();
  }

  // A few bytes from elsewhere and up to three blocks, of which the first is told of.
  void send_pieces() {
    char whole[Content::kLeast + 3 * kLargest];
    std::vector<iovec> pieces = {{whole, Content::kLeast}};
    size_t total = Content::kLeast;
    for (uint64_t left = below(4); left > 0; --left) {
      void* block;
      const size_t size = 1 + below(kLargest / 4);
      if (sio_reserve(area_, &block, size) != 0) continue;
      pieces.push_back({block, size});
      total += size;
    }
    content_.put(whole, total);
    size_t at = Content::kLeast;
    for (size_t i = 1; i < pieces.size(); at += pieces[i++].iov_len) {
      std::memcpy(pieces[i].iov_base, whole + at, pieces[i].iov_len);
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    const int result = sio_sendmsg(socket_, &message, sizeof message, MSG_DONTWAIT);
    pieces.erase(pieces.begin());
    if (result == 0) {
      content_.accepted();
      if (!pieces.empty()) lent_[pieces.front().iov_base] = pieces;
      return;
    }
    release(pieces, "not queued, so still ours");
  }

  void release(const std::vector<iovec>& pieces, const char* why) {
    for (const auto& [data, size] : pieces) {
      EXPECT_EQ(sio_release(area_, data, size), 0) << why << trace();
    }
  }

  void send_lent(bool release) {
    const size_t size = 8 + below(below(4) == 0 ? kLarge : kLargest);
    void* block;
    if (sio_reserve(area_, &block, size) != 0) return;
    content_.put(block, size);
    if (sio_send(socket_, block, size, MSG_DONTWAIT | (release ? SIO_RELEASE : 0)) != 0) {
      EXPECT_EQ(sio_release(area_, block, size), 0) << "not queued, so still ours" << trace();
      return;
    }
    content_.accepted();
    if (!release) lent_[block] = {{block, size}};
  }

  void received(void* data, size_t size) {
    EXPECT_TRUE(content_.check(data, size)) << trace();
    held_.emplace_back(data, size);
  }

  void release_one() {
    if (held_.empty()) return;
    if (is_stream()) return release_some();
    const size_t which = below(held_.size());
    std::swap(held_[which], held_.back());
    const auto [data, size] = held_.back();
    held_.pop_back();
    EXPECT_EQ(sio_release(nullptr, data, size), 0) << trace();
  }

  // From the front, as bytes go.
  void release_some() {
    auto& [data, size] = held_.front();
    const size_t n = 1 + below(size);
    EXPECT_EQ(sio_release(nullptr, data, n), 0) << trace();
    data = static_cast<char*>(data) + n;
    size -= n;
    if (size == 0) held_.pop_front();
  }

  void take_events() {
    event_data_t event;
    while (held_.size() < kMostHeld && ec_next_event(channel_, &event) == 0) {
      if (event.kind == EC_RECV) received(event.data.buf, event.data.len);
      if (event.kind == EC_SENT) {
        const auto found = lent_.find(event.data.buf);
        ASSERT_NE(found, lent_.end()) << "an outcome of nothing, or twice" << trace();
        EXPECT_EQ(event.data.len, found->second.front().iov_len) << trace();
        release(found->second, "told of");
        lent_.erase(found);
      }
      EXPECT_GE(event.error, 0) << trace();
      over_ |= event.kind == EC_EOF || event.kind == EC_HUP;
    }
    if (held_.size() >= kMostHeld) release_one();
  }

  std::mt19937_64& random_;
  const uint64_t seed_;
  const int type_;
  Content content_;
  dma_mem_t area_ = nullptr;
  int socket_ = -1;
  ec_t channel_ = -1;
  std::map<void*, std::vector<iovec>> lent_;  // by the first piece
  std::deque<std::pair<void*, size_t>> held_;
  bool over_ = false;
  bool ended_ = false;
};

// A listener, and who connects to it: false if that failed, as it may.
bool connect(Side& near, Side& far) {
  const int listener = sio_socket(AF_INET, near.type() | SOCK_NONBLOCK, 0);
  if (listener < 0) return false;
  const Address any("127.0.0.1", 0);
  far.associate(listener);  // the accepted socket inherits it
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
    accepted = far.channel() >= 0
                   ? sio_accept_ec(listener, nullptr, nullptr, 0, far.channel(), nullptr)
                   : sio_accept(listener, nullptr, nullptr);
    uint32_t bits = 0;
    socklen_t size = sizeof bits;
    sio_getsockopt(near.socket(), SOL_SIO, SIO_READY, &bits, &size);
    return accepted >= 0 || (errno != EAGAIN && errno != ENOMEM && errno != EIO) ||
           (bits & EPOLLERR) != 0;
  };
  if (ready) eventually(look, milliseconds(1000));
  sio_close(listener);
  if (accepted < 0) return false;
  far.adopt(accepted);
  return true;
}

Faults faults_of(std::mt19937_64& random) {
  const auto rate = [&](uint32_t often) {
    return random() % 3 == 0 ? often + static_cast<uint32_t>(random() % often) : 0u;
  };
  Faults faults;
  faults.register_memory = rate(20);
  faults.create = rate(20);
  faults.connect = rate(20);
  faults.post_send = rate(300);
  faults.post_receive = rate(300);
  faults.status = rate(300);
  faults.late = rate(5);
  faults.drop = rate(300);
  return faults;
}

void run_schedule(uint64_t seed) {
  std::mt19937_64 random(seed);
  const Faults faults = faults_of(random);
  {
    plan().begin(seed, faults);
    const int type = random() % 3 == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    Side near(random, seed, type, random() % 2 == 0);
    Side far(random, seed, type, random() % 2 == 0);
    if (near.stands() && far.stands() && connect(near, far)) {
      const uint64_t steps = 50 + random() % 400;
      for (uint64_t i = 0; i < steps && !(near.over() && far.over()); ++i) {
        (random() % 2 == 0 ? near : far).act();
      }
      near.check_credits();
      far.check_credits();
      far.release_all();
      near.release_all();
    }
    plan().end();
    near.end();
    far.end();
  }
  EXPECT_TRUE(eventually([] { return plan().left().empty(); }))
      << plan().left() << "are left (SIO_FAULT_SEED=" << seed << ')';
}

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

TEST(Faults, LeaveNothingBehind) {
  if (const uint64_t seed = number_from("SIO_FAULT_SEED", 0)) return run_schedule(seed);
  const uint64_t schedules = number_from("SIO_FAULT_SCHEDULES", 2000);
  for (uint64_t seed = 1; seed <= schedules && !HasFailure(); ++seed) run_schedule(seed);
  std::printf("%llu faults in %llu schedules\n", static_cast<unsigned long long>(plan().struck()),
              static_cast<unsigned long long>(schedules));
  EXPECT_GT(plan().struck(), schedules);
}

}  // namespace
}  // namespace sio::test
