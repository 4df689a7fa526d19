// SPDX-License-Identifier: BSD-2-Clause
//
// DMA_SHARED: sockets of a channel with one receive memory. That no receiver is ever not ready,
// which is that credits are never more than receives, is checked after each test (environment.cc).
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

constexpr size_t kLeast = 6;  // slots that each connection needs

size_t receive_bytes(size_t slots) { return (slots + 4) * kSlot; }

// A listener whose connections share, and what comes in from a crowd (behaviours_crowd.cc).
class Gathering {
 public:
  // So many slots, besides 4, and a pool.
  explicit Gathering(size_t slots, size_t pool = 0)
      : bytes_(receive_bytes(slots) + pool), area_(bytes_), listener_(Socket::make(SOCK_NONBLOCK)) {
    listener_.set(SIO_RECV_SLOTS, static_cast<int>(slots)).set(SIO_KEEPALIVE_MS, 500);
    listener_.join(channel_).associate(area_, DMA_RECV | DMA_SHARED, bytes_);
    listener_.bind(Address::self()).listen(256);
  }

  std::string address() const { return to(listener_); }

  // The streams that are to come: with the seed.
  void expect(uint64_t seed, Pattern pattern, uint64_t count = UINT64_MAX) {
    streams_.try_emplace(seed, Inflow(pattern, count));
  }

  // Takes events until so many streams have ended.
  void run_until_ended(size_t streams) {
    run_until([&] { return ended_ >= streams; });
  }
  void run_until(const std::function<bool()>& holds) {
    auto last = Clock::now();
    while (!holds()) {
      const auto event = channel_.try_next(milliseconds(waiting_ > 0 ? 10 : 1000));
      if (event) {
        handle(*event);
        last = Clock::now();
      }
      if (waiting_ > 0) accept();
      if (since(last) > 3 * kSoon) fail("nothing comes any more");
    }
  }

  uint64_t credit_frames() const {
    uint64_t all = 0;
    for (const auto& [fd, guest] : guests_) all += guest.socket.info().credit_frames;
    return all;
  }

  void run_for(milliseconds time) {
    for (const auto start = Clock::now(); since(start) < time;) {
      if (const auto event = channel_.try_next(milliseconds(10))) handle(*event);
      if (waiting_ > 0) accept();
    }
  }

  size_t connections() const { return guests_.size(); }
  size_t ended() const { return ended_; }
  size_t broken() const { return broken_; }
  uint64_t taken(uint64_t seed) const { return streams_.at(seed).taken(); }
  const Area& area() const { return area_; }
  const Channel& channel() const { return channel_; }
  Socket& listener() { return listener_; }
  void keep(size_t most) { keep_ = most; }

  void handle(const event_data_t& event) {
    switch (event.kind) {
      case EC_ACCEPT:
        ++waiting_;
        return;
      case EC_RECV:
        return take(event);
      case EC_EOF:
        ++ended_;
        guests_.erase(event.fd);
        return;
      case EC_HUP:
        ++broken_;
        guests_.erase(event.fd);
        return;
      default:
        fail("%s", kind_name(event.kind));
    }
  }

 private:
  struct Guest {
    Socket socket;
    Inflow* in = nullptr;
  };

  // Shares come back as others use what they have, and when those that were closed are done with:
  // until then it waits. An event that told of it again may come when it was accepted.
  void accept() {
    try {
      if (Socket socket = listener_.try_accept()) {
        --waiting_;
        guests_[socket.get()].socket = std::move(socket);
      } else {
        waiting_ = 0;
      }
    } catch (const std::system_error& error) {
      if (error.code().value() != ENOBUFS) throw;
    }
  }

  void take(const event_data_t& event) {
    Message message(event);
    Guest& guest = guests_.at(event.fd);
    if (guest.in == nullptr) {
      const auto stream =
          streams_.find(std::strtoull(std::string(message.view()).c_str(), nullptr, 10));
      if (stream == streams_.end()) return;  // a hostile peer says what it likes
      guest.in = &stream->second;
    } else {
      guest.in->take(message);
    }
    // Some are held for a while, and come back in another order.
    if (keep_ == 0) return;
    kept_.push_back(std::move(message));
    while (kept_.size() > keep_) {
      std::swap(kept_[random_.below(kept_.size())], kept_.back());
      kept_.pop_back();
    }
  }

  const size_t bytes_;
  Area area_;
  Channel channel_;
  Socket listener_;
  std::map<int, Guest> guests_;
  std::map<uint64_t, Inflow> streams_;
  std::vector<Message> kept_;
  size_t keep_ = 0;
  size_t waiting_ = 0;  // to be accepted
  size_t ended_ = 0;
  size_t broken_ = 0;
  Random random_{17};
};

std::string crowd_of(size_t connections, uint64_t seed, uint64_t count) {
  return "crowd connections=" + std::to_string(connections) + " seed=" + std::to_string(seed) +
         " count=" + std::to_string(count);
}

// ------------------------------------------------------------------------------------ traffic

class WireSharedCrowd : public WireTest, public testing::WithParamInterface<size_t> {};

INSTANTIATE_TEST_SUITE_P(Of, WireSharedCrowd, testing::Values(2, 10, 100));

TEST_P(WireSharedCrowd, ArrivesWholeThroughOneMemory) {
  const size_t all = GetParam();
  const uint64_t count = scaled(3000) / all + 10;
  Gathering gathering(all * kLeast + 60);
  gathering.keep(20);
  const Accounts before = accounts(gathering.area().get());
  EXPECT_EQ(before.posted, receive_bytes(all * kLeast + 60)) << "taken with the first";
  for (uint64_t seed = 1; seed <= all; ++seed) gathering.expect(seed, Pattern(seed), count);
  // From two processes, so that their messages mix.
  Peer one(crowd_of(all / 2, 1, count) + gathering.address());
  Peer other(crowd_of(all - all / 2, 1 + all / 2, count) + gathering.address());
  gathering.run_until_ended(all);
  EXPECT_EQ(gathering.broken(), 0u);
  for (uint64_t seed = 1; seed <= all; ++seed) EXPECT_EQ(gathering.taken(seed), count) << seed;
  const Accounts after = accounts(gathering.area().get());
  EXPECT_EQ(after.posted + after.received, before.posted) << "no connection took memory of its own";
  one.finish();
  other.finish();
}

using WireShared = WireTest;

// The smallest memory: each has what it needs and no more.
TEST_F(WireShared, TheLeastMemoryServesAllToo) {
  constexpr size_t kAll = 5;
  const uint64_t count = scaled(300);
  Gathering gathering(kAll * kLeast - 4);
  for (uint64_t seed = 1; seed <= kAll; ++seed) gathering.expect(seed, Pattern(seed), count);
  Peer peer(crowd_of(kAll, 1, count) + gathering.address());
  gathering.run_until_ended(kAll);
  peer.finish();
}

TEST_F(WireShared, AGreedySenderLeavesOthersTheirShare) {
  constexpr uint64_t kOthers = 9;
  const uint64_t count = scaled(300);
  Gathering gathering(150);
  gathering.keep(60);  // slots are scarce
  gathering.expect(100, Pattern(100));
  Peer greedy(crowd_of(1, 100, 0) + gathering.address());
  gathering.run_until([&] { return gathering.connections() == 1 && gathering.taken(100) > 500; });
  for (uint64_t seed = 1; seed <= kOthers; ++seed) gathering.expect(seed, Pattern(seed), count);
  Peer others(crowd_of(kOthers, 1, count) + gathering.address());
  const uint64_t before = gathering.taken(100);
  gathering.run_until_ended(kOthers);
  for (uint64_t seed = 1; seed <= kOthers; ++seed) EXPECT_EQ(gathering.taken(seed), count);
  EXPECT_GT(gathering.taken(100), before) << "it went on too";
  others.finish();
}

TEST_F(WireShared, ConnectionsComeAndGoWhileOthersSend) {
  constexpr uint64_t kRounds = 5;
  Gathering gathering(80);
  gathering.expect(100, Pattern(100));
  Peer lasting(crowd_of(1, 100, 0) + gathering.address());
  for (uint64_t round = 0; round < kRounds; ++round) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      gathering.expect(10 * round + seed, Pattern(10 * round + seed), 50);
    }
    Peer passing(crowd_of(4, 10 * round + 1, 50) + gathering.address());
    gathering.run_until_ended(4 * (round + 1));
    passing.finish();
  }
  const uint64_t before = gathering.taken(100);
  gathering.run_until([&] { return gathering.taken(100) > before + 500; });
}

// There is room for two at a time, so each that is killed has to give its share back.
TEST_F(WireShared, PeersThatAreKilledGiveTheirShareBack) {
  Gathering gathering(2 * kLeast - 4);
  gathering.expect(100, Pattern(100));
  Peer lasting(crowd_of(1, 100, 0) + gathering.address());
  gathering.run_until([&] { return gathering.connections() == 1; });
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    gathering.expect(seed, Pattern(seed));
    Peer peer(crowd_of(1, seed, 0) + gathering.address());
    gathering.run_until([&] { return gathering.connections() == 2; });
    gathering.run_until([&] { return gathering.taken(seed) > 20; });
    peer.kill();
    gathering.run_until([&] { return gathering.broken() == seed; });
  }
  const uint64_t before = gathering.taken(100);
  gathering.run_until([&] { return gathering.taken(100) > before + 100; });
}

// A peer that sends what it has no credits for may hold others up while its device asks again, and
// no longer.
TEST_F(WireShared, APeerThatSendsWithoutCreditHarmsOnlyItself) {
  tolerate_rnr();
  const uint64_t count = scaled(500);
  Gathering gathering(60);
  for (uint64_t seed = 1; seed <= 4; ++seed) gathering.expect(seed, Pattern(seed), count);
  Peer honest(crowd_of(4, 1, count) + gathering.address());
  gathering.run_until([&] { return gathering.connections() == 4; });
  Peer hostile("raw-dial send=messages count=200" + gathering.address());
  gathering.run_until([&] { return gathering.broken() == 1; });
  gathering.run_until_ended(4);
  for (uint64_t seed = 1; seed <= 4; ++seed) EXPECT_EQ(gathering.taken(seed), count);
}

// One that has 4 credits and no use for them, and is asked for 2 of them since there is no room for
// another connection.
TEST_F(WireShared, ARefundThatMayNotBeEndsItsConnection) {
  const struct {
    const char* frames;
    bool asked;
    bool good;
  } cases[] = {{"refund", true, true},
               {"refund-too-much", true, false},
               {"refund-twice", true, false},
               {"refund", false, false}};
  for (const auto& [frames, asked, good] : cases) {
    SCOPED_TRACE(frames);
    Gathering gathering(3 * kLeast + 2 - 4);
    Peer peer("raw-dial ms=300 told=yes send=two-messages then=" + std::string(frames) +
              gathering.address());
    gathering.run_until([&] { return gathering.connections() == 1; });
    peer.expect("established");
    peer.say("now");
    peer.expect("sent");
    peer.expect("stands");  // both have come when the first is looked at: it is given more
    gathering.run_for(milliseconds(100));
    const uint64_t before = gathering.credit_frames();
    std::vector<Peer> others;
    for (size_t n = 1; n < (asked ? 3 : 2); ++n) {
      others.emplace_back("raw-dial" + gathering.address());
      gathering.run_until([&] { return gathering.connections() == 1 + n; });
    }
    if (asked) gathering.run_until([&] { return gathering.credit_frames() > before; });
    peer.say("go on");
    peer.expect("sent");
    gathering.run_for(milliseconds(500));
    EXPECT_EQ(gathering.broken(), good ? 0u : 1u);
    peer.expect(good ? "stands" : "ended");
    EXPECT_EQ(gathering.connections(), others.size() + (good ? 1 : 0));
  }
}

// What asks for nobody's attention takes a receive all the same, which others may be waiting for.
TEST_F(WireShared, APeerCanNotTakeReceivesBehindTheBackOfWhoSleeps) {
  const size_t bytes = receive_bytes(2 * kLeast);
  const Area area(bytes);
  const Channel channel;
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.set(SIO_RECV_SLOTS, 2 * kLeast).set(SIO_KEEPALIVE_MS, 0).join(channel);
  listener.associate(area, DMA_RECV | DMA_SHARED, bytes).bind(Address::self()).listen();
  Peer hostile("raw-dial told=yes send=silent-message" + to(listener));
  channel.expect(EC_ACCEPT);
  const Socket socket = listener.accept(channel);
  hostile.expect("established");
  EXPECT_FALSE(channel.try_next(milliseconds(300)));
  hostile.say("now");
  Message{channel.expect(EC_RECV)};
}

// Its device had taken a receive for what will never be whole.
TEST_F(WireShared, APeerThatEndsWithinAMessageLeavesItsSlotToOthers) {
  const uint64_t count = scaled(100);
  Gathering gathering(2 * kLeast - 4);
  gathering.expect(1, Pattern(1), count);
  for (uint64_t i = 1; i <= 20; ++i) {
    Peer hostile("raw-dial send=half-message" + gathering.address());
    gathering.run_until([&] { return gathering.connections() == 1; });
    hostile.expect("established");
    hostile.expect("sent");
    hostile.expect("ended");
    hostile.kill();
    gathering.run_until([&] { return gathering.broken() == i; });
  }
  Peer honest(crowd_of(1, 1, count) + gathering.address());
  gathering.run_until_ended(1);
  EXPECT_EQ(gathering.taken(1), count);
  honest.finish();
}

// -------------------------------------------------------------------------------- large messages

class WireSharedBulk : public WireTest {};

// Several senders, and room for one message at a time.
TEST_F(WireSharedBulk, GoThroughTheSmallestMemoryThatTakesOne) {
  constexpr size_t kSize = 200'000;
  constexpr uint64_t kSenders = 4;
  const uint64_t count = scaled(20);
  Gathering gathering(kSenders * kLeast, (kSize + 63) / 64 * 64);
  std::vector<Peer> peers;
  for (uint64_t seed = 1; seed <= kSenders; ++seed) {
    gathering.expect(seed, Pattern::of_size(seed, kSize), count);
    peers.emplace_back(crowd_of(1, seed, count) + " send=1048576 size=" + std::to_string(kSize) +
                       gathering.address());
  }
  gathering.run_until_ended(kSenders);
  for (uint64_t seed = 1; seed <= kSenders; ++seed) EXPECT_EQ(gathering.taken(seed), count);
  for (Peer& peer : peers) peer.finish();
}

TEST_F(WireSharedBulk, MixWithSmallOnesOfAllSenders) {
  constexpr uint64_t kSenders = 3;
  const uint64_t count = scaled(300);
  Gathering gathering(kSenders * kLeast + 30, 1'000'000);  // the kept ones leave a gap
  gathering.keep(3);
  std::vector<Peer> peers;
  for (uint64_t seed = 1; seed <= kSenders; ++seed) {
    gathering.expect(seed, Pattern(seed, 100'000), count);
    peers.emplace_back(crowd_of(1, seed, count) + " largest=100000 send=4194304" +
                       gathering.address());
  }
  gathering.run_until_ended(kSenders);
  for (uint64_t seed = 1; seed <= kSenders; ++seed) EXPECT_EQ(gathering.taken(seed), count);
  for (Peer& peer : peers) peer.finish();
}

TEST_F(WireSharedBulk, OfAPeerThatIsKilledMakeWayForOthers) {
  constexpr size_t kSize = 1'000'000;
  Gathering gathering(3 * kLeast, (kSize + 63) / 64 * 64);
  gathering.expect(1, Pattern::of_size(1, kSize));
  gathering.expect(2, Pattern::of_size(2, kSize), 10);
  const std::string size = " send=4194304 size=" + std::to_string(kSize);
  Peer killed(crowd_of(1, 1, 0) + size + gathering.address());
  Peer other(crowd_of(1, 2, 10) + size + gathering.address());
  gathering.run_until([&] { return gathering.taken(1) > 1 && gathering.taken(2) > 1; });
  killed.kill();
  gathering.run_until([&] { return gathering.ended() == 1 && gathering.broken() == 1; });
  EXPECT_EQ(gathering.taken(2), 10u);
}

// It holds some of the pool, and waits for all of it.
TEST_F(WireSharedBulk, OfAPeerThatNeverSendsThemDoNotKeepOthersFromTheRest) {
  constexpr size_t kSize = 100'000;
  const uint64_t count = scaled(20);
  for (const bool in_concert : {false, true}) {
    SCOPED_TRACE(in_concert ? "one holds, another waits" : "one does both");
    Gathering gathering(4 * kLeast, 1'000'000);
    std::vector<Peer> hostile;
    const auto dial = [&](const std::string& what) {
      hostile.emplace_back("raw-dial told=1 send=" + what + gathering.address());
      gathering.run_until([&] { return gathering.connections() == hostile.size(); });
      hostile.back().expect("established");
      hostile.back().say("send");
      hostile.back().expect("sent");
    };
    if (in_concert) dial("hold");
    dial(in_concert ? "want-all" : "hold-and-want-all");
    gathering.expect(1, Pattern::of_size(1, kSize), count);
    Peer honest(crowd_of(1, 1, count) + " send=1048576 size=" + std::to_string(kSize) +
                gathering.address());
    gathering.run_until_ended(1);
    EXPECT_EQ(gathering.taken(1), count);
    EXPECT_EQ(gathering.broken(), 0u);
    honest.finish();
  }
}

// --------------------------------------------------------------------------------- in one process

class Shared : public DeviceTest {
 protected:
  // A listener for connections that share this many slots, beside 4.
  Socket make_listener(const Area& area, int slots, const Channel* channel, uint32_t events) {
    Socket listener = Socket::make(SOCK_NONBLOCK);
    listener.set(SIO_RECV_SLOTS, slots);
    if (channel != nullptr) listener.join(*channel, events);
    listener.associate(area, DMA_RECV | DMA_SHARED).bind(Address::self()).listen();
    return listener;
  }

  // Of a blocking connect: a thread of its own does it, as this one accepts.
  Socket dial(const Socket& listener) {
    Socket socket = Socket::make(SOCK_NONBLOCK);
    socket.set(SIO_NODELAY, 1).join(near_);
    const int error = socket.try_connect(listener.name());
    if (error != EINPROGRESS) fail("sio_connect: %s", std::strerror(error));
    return socket;
  }

  Socket accept(Socket& listener) {
    Socket accepted;
    if (!eventually([&] { return bool(accepted = listener.try_accept()); })) {
      fail("nobody to accept");
    }
    return accepted;
  }

  // Both ends; `near` has heard that it is connected.
  Pair join(Socket& listener) {
    Pair pair;
    pair.near = dial(listener);
    pair.far = accept(listener);
    const event_data_t event = near_.skip_to(EC_CONNECT);
    EXPECT_EQ(event.error, 0);
    pair.near.set_nonblocking(false);
    return pair;
  }

  // As join(), while both ends go on.
  void join_when_there_is_room(
      Socket& listener, Pair& pair, const std::function<void()>& meanwhile = [] {}) {
    pair.near = dial(listener);
    const auto accepts = [&] {
      meanwhile();
      near_.try_next(milliseconds(0));
      far_.try_next(milliseconds(0));
      try {
        return bool(pair.far = listener.try_accept());
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), ENOBUFS);
        return false;
      }
    };
    if (!eventually(accepts)) fail("no room for another");
    near_.skip_to(EC_CONNECT);
  }

  // So many are sent and taken, by ends of which one has to tell the other how it goes on.
  void send_many(Pair& pair, int count) {
    int sent = 0;
    int taken = 0;
    EXPECT_TRUE(eventually([&] {
      while (sent < count && pair.near.try_send("x", 1, MSG_DONTWAIT) == 0) ++sent;
      near_.try_next(milliseconds(0));
      while (const auto event = far_.try_next(milliseconds(0))) {
        if (event->kind != EC_RECV) continue;
        Message done(*event);
        taken += event->fd == pair.far.get();
      }
      return taken == count;
    })) << taken
        << " of " << sent << " sent";
  }

  // One that takes two messages and four frames else, and never says that it has them.
  static Peer dial_mute(const Socket& listener) {
    return Peer("raw-dial greeting=two-slots told=yes send=two-messages again=9 ms=50" +
                to(listener));
  }

  // Until we may say no more to it.
  void have_its_say(Peer& peer, const Socket& socket) {
    for (uint64_t said = 0; said < 4;) {
      peer.say("go on");
      peer.expect("sent");
      peer.expect("stands");  // both have come when the first is looked at: it is given more
      EXPECT_TRUE(eventually([&] {
        while (const auto event = far_.try_next(milliseconds(0))) {
          if (event->kind == EC_RECV) Message dropped(*event);
        }
        return socket.info().credit_frames > said;
      }));
      said = socket.info().credit_frames;
    }
  }

  Channel near_;
  Channel far_;
};

TEST_F(Shared, MessagesThatTheProgramHoldsStallTheirSendersAndNothingIsLost) {
  const Area area(receive_bytes(40));
  Socket listener = make_listener(area, 40, &far_, EC_DELIVER);
  std::vector<Pair> pairs;
  for (int i = 0; i < 3; ++i) pairs.push_back(join(listener));
  // Until nothing goes any more, with all that has come in hand.
  std::vector<Message> held;
  std::map<int, uint64_t> next;
  std::vector<uint64_t> sent(3);
  const auto take = [&] {
    while (const auto event = far_.try_next(milliseconds(0))) {
      if (event->kind != EC_RECV) continue;
      held.emplace_back(*event);
      EXPECT_EQ(held.back().view(), std::to_string(next[event->fd]++));
    }
  };
  const auto send_what_goes = [&] {
    for (size_t i = 0; i < 3; ++i) {
      while (true) {
        const std::string now = std::to_string(sent[i]);
        if (pairs[i].near.try_send(now.data(), now.size(), MSG_DONTWAIT) != 0) break;
        ++sent[i];
      }
      EXPECT_EQ(errno, EAGAIN);
    }
  };
  Clock::time_point last = Clock::now();
  for (size_t before = 0; since(last) < milliseconds(500);) {
    send_what_goes();
    take();
    if (held.size() != before) last = Clock::now();
    before = held.size();
  }
  EXPECT_GE(held.size(), 20u) << "a fair share each, and one is left over";
  EXPECT_LE(held.size(), 44u - 3 * 4) << "those for control frames are left";
  for (const auto& [fd, n] : next) EXPECT_GE(n, 2u) << "each has the least";
  EXPECT_EQ(accounts(area.get()).received, held.size() * kSlot);
  const uint64_t stuck = sent[0] + sent[1] + sent[2];
  held.clear();
  ASSERT_TRUE(eventually([&] {
    take();
    held.clear();
    send_what_goes();
    return sent[0] + sent[1] + sent[2] > stuck + 600;
  }));
  ASSERT_TRUE(eventually([&] {
    take();
    held.clear();
    uint64_t taken = 0;
    for (const auto& [fd, n] : next) taken += n;
    return taken == sent[0] + sent[1] + sent[2];
  }));
}

TEST_F(Shared, AcceptingBeyondTheMemoryFailsAndTheConnectionGoesOnWaiting) {
  const Area area(receive_bytes(2 * kLeast - 4));
  Socket listener = make_listener(area, 2 * kLeast - 4, &far_, EC_DELIVER);
  Pair one = join(listener);
  Pair other = join(listener);
  Socket third = dial(listener);
  try {
    accept(listener);
    FAIL() << "there was room for another";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOBUFS);
  }
  one.near.close();
  one.far.close();
  Socket accepted;
  ASSERT_TRUE(eventually([&] {
    try {
      accepted = listener.accept();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOBUFS);
    }
    return bool(accepted);
  }));
  EXPECT_EQ(near_.skip_to(EC_CONNECT).error, 0);
  third.send("hello");
  EXPECT_EQ(Message(far_.skip_to(EC_RECV)).view(), "hello");
}

// However much each of those before it was given when it had much to send.
TEST_F(Shared, WhatIdleConnectionsHaveBeenGivenComesBackToANewcomer) {
  constexpr size_t kAll = 10;
  const Area area(receive_bytes(kAll * kLeast - 4));
  Socket listener = make_listener(area, kAll * kLeast - 4, &far_, EC_DELIVER);
  std::vector<Pair> pairs(kAll);
  uint32_t most = 0;
  for (Pair& pair : pairs) {
    join_when_there_is_room(listener, pair);
    send_many(pair, 200);
    eventually([&] {
      near_.try_next(milliseconds(0));
      return pair.near.info().credits > 1;
    });
    most = std::max(most, pair.near.info().credits);
  }
  EXPECT_GT(most, 5u) << "there was no need";
  for (Pair& pair : pairs) send_many(pair, 200);  // and each can go on
}

// Before it asks: nobody is refused.
TEST_F(Shared, RoomIsMadeForTheNextNewcomer) {
  constexpr uint32_t kSlots = 60;
  const Area area(receive_bytes(kSlots));
  Socket listener = make_listener(area, kSlots, &far_, EC_DELIVER);
  Pair pair = join(listener);
  Socket& first = pair.near;
  const auto comes_to_have = [&](auto credits, milliseconds limit) {
    return eventually(
        [&] {
          near_.try_next(milliseconds(0));
          far_.try_next(milliseconds(0));
          return credits(first.info().credits);
        },
        limit);
  };
  send_many(pair, 200);
  comes_to_have([](uint32_t) { return false; }, milliseconds(300));  // whatever it is given
  ASSERT_GT(first.info().credits, 5u);
  ASSERT_LT(first.info().credits, kSlots / 2);
  // Others fill what it has left: as many as find room for certain, since what it has not been told
  // of yet is less than what it has; then one by one until there is no room for another.
  std::vector<Pair> others((kSlots - 2 * first.info().credits) / kLeast);
  for (Pair& other : others) other = join(listener);
  while (!comes_to_have([](uint32_t n) { return n == 2; }, milliseconds(1000))) {
    ASSERT_LT(others.size(), (kSlots + 4) / kLeast) << "it keeps " << first.info().credits;
    others.push_back(join(listener));
  }
  Pair next;  // when what was given back has arrived
  join_when_there_is_room(listener, next);
}

// Others have it, and do nothing with it.
TEST_F(Shared, WhoseMessagesTheProgramHoldsIsGivenWhatIdleConnectionsHave) {
  constexpr uint32_t kSlots = 60;
  const Area area(receive_bytes(kSlots));
  Socket listener = make_listener(area, kSlots, &far_, EC_DELIVER);
  Pair busy = join(listener);
  std::vector<Pair> idle(4);
  for (Pair& pair : idle) pair = join(listener);
  for (Pair& pair : idle) send_many(pair, 200);
  std::vector<Message> held;
  // All but the least of each, and of a newcomer.
  const size_t most = kSlots + 4 - 6 * kLeast;
  EXPECT_TRUE(eventually([&] {
    busy.near.try_send("x", 1, MSG_DONTWAIT);
    near_.try_next(milliseconds(0));
    if (const auto event = far_.try_next(milliseconds(0))) held.emplace_back(*event);
    return held.size() >= most;
  })) << held.size()
      << " of " << most;
  held.clear();
  for (Pair& pair : idle) send_many(pair, 200);
}

// Of who has more than its least, but lets us say no more, nothing can be asked. Of others it can,
// whether they are looked at before it or after.
TEST_F(Shared, WhoCanNotBeAskedKeepsNobodyFromBeingAsked) {
  constexpr size_t kMute = 3;      // before the one that can be asked, and after it
  constexpr size_t kMuteHave = 2;  // more than the least, each; for a newcomer that is enough
  constexpr size_t kNewcomers = 5;
  constexpr size_t kSlots = (2 * kMute + 1 + kNewcomers) * kLeast + 2 * kMute * kMuteHave - 4;
  const Area area(receive_bytes(kSlots));
  Socket listener = make_listener(area, kSlots, &far_, EC_DELIVER);
  std::vector<Peer> mute;
  std::vector<Socket> theirs;
  const auto add_mute = [&] {
    mute.push_back(dial_mute(listener));
    theirs.push_back(accept(listener));
    mute.back().expect("established");
    have_its_say(mute.back(), theirs.back());
  };
  for (size_t i = 0; i < kMute; ++i) add_mute();
  Pair honest = join(listener);
  for (size_t i = 0; i < kMute; ++i) add_mute();
  send_many(honest, 200);
  std::vector<Pair> newcomers(kNewcomers);
  for (Pair& pair : newcomers) join_when_there_is_room(listener, pair);
  for (Pair& pair : newcomers) send_many(pair, 1);
}

// What it is given for what it receives is no sign that it sends.
TEST_F(Shared, WhatAPeerHasThatOnlyReceivesComesBackToo) {
  constexpr int kSlots = 28;
  const Area area(receive_bytes(kSlots));
  Socket listener = make_listener(area, kSlots, &far_, EC_DELIVER);
  std::vector<Pair> pairs((kSlots + 4) / kLeast);
  uint64_t received = 0;
  for (Pair& pair : pairs) {
    join_when_there_is_room(listener, pair, [&] {
      if (!pairs[0].far) return;
      pairs[0].far.try_send("x", 1, MSG_DONTWAIT);
      while (const auto event = near_.try_next(milliseconds(0))) {
        if (event->kind != EC_RECV) continue;
        Message dropped(*event);
        ++received;
      }
    });
    send_many(pair, 200);
  }
  EXPECT_GT(received, 0u) << "nothing came in between";
}

// Nobody has anything to give: then nobody looks for it again and again.
TEST_F(Shared, WhileThereIsNothingToBeHadAllSleep) {
  const Area area(receive_bytes(2 * kLeast - 4));
  Socket listener = make_listener(area, 2 * kLeast - 4, &far_, EC_DELIVER);
  Pair one = join(listener);
  const Pair other = join(listener);
  one.near.send("held");
  one.near.send("held, too");
  const Message held[] = {Message(far_.skip_to(EC_RECV)), Message(far_.skip_to(EC_RECV))};
  std::this_thread::sleep_for(milliseconds(100));
  const uint64_t before = sleeps_of_our_threads();
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_LT(sleeps_of_our_threads() - before, 20u);
}

TEST_F(Shared, ConnectingBeyondTheMemoryFails) {
  const Area area(receive_bytes(2));
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.bind(Address::self()).listen();
  Socket first = Socket::make(SOCK_NONBLOCK);
  Socket second = Socket::make(SOCK_NONBLOCK);
  for (Socket* socket : {&first, &second}) {
    socket->join(near_).associate(area, DMA_RECV | DMA_SHARED);
    EXPECT_EQ(socket->try_connect(listener.name()), EINPROGRESS);
  }
  const Socket accepted = accept(listener);
  int errors[2] = {near_.expect(EC_CONNECT).error, near_.expect(EC_CONNECT).error};
  std::sort(errors, errors + 2);
  EXPECT_EQ(errors[0], 0);
  EXPECT_EQ(errors[1], ENOBUFS);
}

// The sockets may come into the channel after the association; in none, they are alone.
TEST_F(Shared, IsWithWhoeverIsInTheChannelWhenTheConnectionIsMade) {
  const Area area(2 * receive_bytes(20));
  const size_t bytes = receive_bytes(20);
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.bind(Address::self()).listen();
  std::vector<Socket> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(Socket::make(SOCK_NONBLOCK));
    sockets.back().set(SIO_RECV_SLOTS, 20);
    sockets.back().associate(area, DMA_RECV | DMA_SHARED, bytes);
  }
  EXPECT_EQ(accounts(area.get()).posted, 0u) << "nothing is taken yet";
  sockets[0].join(near_);
  sockets[1].join(near_);
  std::vector<Socket> accepted;
  for (Socket& socket : sockets) {
    EXPECT_EQ(socket.try_connect(listener.name()), EINPROGRESS);
    accepted.push_back(accept(listener));
  }
  ASSERT_TRUE(eventually([&] {
    return std::all_of(sockets.begin(), sockets.end(),
                       [](const Socket& one) { return (one.ready() & EPOLLOUT) != 0; });
  }));
  EXPECT_EQ(accounts(area.get()).posted, 2 * bytes)
      << "one for the channel, one for who is in none";
  for (Socket& socket : accepted) socket.send("to you");
  sockets[2].set_nonblocking(false);
  EXPECT_EQ(sockets[2].receive().view(), "to you");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Message(near_.skip_to(EC_RECV)).view(), "to you");
  for (Socket& socket : sockets) socket.close();
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }))
      << "the last gives it back";
}

TEST_F(Shared, MessagesOutliveSocketsAndChannel) {
  Area area(receive_bytes(20));
  std::vector<Message> held;
  {
    Channel far;
    Socket listener = make_listener(area, 20, &far, EC_DELIVER);
    Pair one = join(listener);
    Pair other = join(listener);
    one.near.send("of one");
    other.near.send("of another");
    for (int i = 0; i < 2; ++i) held.emplace_back(far.skip_to(EC_RECV));
    one.far.close();
    one.near.close();
    other.near.send("afterwards");
    EXPECT_EQ(Message(far.skip_to(EC_RECV)).view(), "afterwards");
  }
  std::vector<std::string> texts{std::string(held[0].view()), std::string(held[1].view())};
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(texts, (std::vector<std::string>{"of another", "of one"}));
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).received == 2 * kSlot; }));
  held.clear();
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
}

// What sio_recv, MSG_PEEK and shutdown do is as on any other socket.
TEST_F(Shared, ServesCallsThatReceiveToo) {
  const Area area(receive_bytes(20));
  Socket listener = make_listener(area, 20, &far_, EPOLLIN);
  Pair one = join(listener);
  Pair other = join(listener);
  for (const char* text : {"first", "second"}) one.near.send(text);
  other.near.send("other");
  one.far.set_nonblocking(false);
  other.far.set_nonblocking(false);
  EXPECT_EQ(other.far.receive().view(), "other");
  far_.skip_to(EC_READABLE);
  EXPECT_EQ(one.far.peek().bytes.size(), 5u);
  EXPECT_EQ(one.far.receive().view(), "first");
  EXPECT_EQ(one.far.receive().view(), "second");
  must(other.far.shutdown(SHUT_RD), "sio_shutdown");
  for (int i = 0; i < 200; ++i) other.near.send("nobody wants it");
  other.near.flush();
  one.near.send("third");
  EXPECT_EQ(one.far.receive().view(), "third");
  one.near.close();
  EXPECT_FALSE(one.far.receive());
}

TEST_F(Shared, WhatAFullRingHoldsBackArrivesLater) {
  const Channel small(0, 2);
  const Area area(receive_bytes(60));
  Socket listener = make_listener(area, 60, &small, EC_DELIVER);
  Pair one = join(listener);
  Pair other = join(listener);
  uint64_t sent[2] = {};
  for (int i = 0; i < 20; ++i) {
    sent[0] += one.near.try_send("one", 3, MSG_DONTWAIT) == 0;
    sent[1] += other.near.try_send("other", 5, MSG_DONTWAIT) == 0;
  }
  for (uint64_t left = sent[0] + sent[1]; left > 0; --left) Message(small.skip_to(EC_RECV));
  EXPECT_FALSE(small.try_next(milliseconds(20)));
}

TEST_F(Shared, RefusesWhatMakesNoSense) {
  const Area area(4 * receive_bytes(64));
  const size_t bytes = receive_bytes(64);
  Socket socket = Socket::make();
  Socket other = Socket::make();
  Socket odd = Socket::make();
  socket.join(far_);
  other.join(far_);
  odd.set(SIO_SLOT_SIZE, 4096).join(far_);
  const auto assoc = [&](const Socket& one, size_t size, unsigned flags) {
    return [&, size, flags, fd = one.get()] { return dma_assoc(fd, area.get(), size, flags); };
  };
  ASSERT_EQ(assoc(socket, bytes, DMA_SHARED)(), 0);
  EXPECT_EQ(accounts(area.get()).posted, bytes);
  expect_errors({
      {"for sending alone", assoc(other, bytes, DMA_SHARED | DMA_SEND), EINVAL},
      {"too small", assoc(other, 5 * kSlot, DMA_SHARED), EINVAL},
      {"larger than the area", assoc(other, area.bytes() + 1, DMA_SHARED), EINVAL},
      {"another slot size", assoc(odd, bytes, DMA_SHARED), EINVAL},
      {"twice", assoc(socket, bytes, DMA_SHARED), EBUSY},
      {"an unknown flag", assoc(other, bytes, DMA_SHARED | 8), EINVAL},
      {"beyond what is left of the area", assoc(other, 4 * bytes - kSlot, DMA_SHARED), ENOBUFS},
  });
  ASSERT_EQ(assoc(other, bytes, DMA_RECV | DMA_SHARED)(), 0);
  EXPECT_EQ(accounts(area.get()).posted, bytes) << "the same";
  ASSERT_TRUE(socket.disassociate(area, bytes));
  EXPECT_EQ(accounts(area.get()).posted, bytes) << "there is another";
  far_.remove(other.get());
  EXPECT_EQ(accounts(area.get()).posted, 0u) << "the last has left the channel";
}

TEST_F(Shared, IsRefusedAtConnectWhenTheSlotsWereChangedSince) {
  const Area area(receive_bytes(64));
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.bind(Address::self()).listen();
  Socket first = Socket::make(SOCK_NONBLOCK);
  Socket second = Socket::make(SOCK_NONBLOCK);
  first.join(near_).associate(area, DMA_RECV | DMA_SHARED);
  second.join(near_).associate(area, DMA_RECV | DMA_SHARED);
  second.set(SIO_SLOT_SIZE, 4096);
  EXPECT_EQ(second.try_connect(listener.name()), EINPROGRESS);
  EXPECT_EQ(near_.expect(EC_CONNECT).error, EINVAL);
}

TEST_F(Shared, IsTheParentsAlone) {
  const Area area(receive_bytes(20));
  Socket listener = make_listener(area, 20, &far_, EC_DELIVER);
  Pair pair = join(listener);
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    const bool refused = dma_assoc(pair.far.get(), area.get(), area.bytes(), DMA_SHARED) == -1 &&
                         errno == EPERM && sio_accept(listener.get(), nullptr, nullptr) == -1 &&
                         errno == EPERM;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  must(waitpid(child, &status, 0), "waitpid");
  EXPECT_EQ(status, 0);
  pair.near.send("still there");
  EXPECT_EQ(Message(far_.skip_to(EC_RECV)).view(), "still there");
}

}  // namespace
}  // namespace sio::test
