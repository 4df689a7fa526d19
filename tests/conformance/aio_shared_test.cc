// SPDX-License-Identifier: BSD-2-Clause
//
// Requests on sockets whose receive memory is shared (DMA_SHARED).
#include <sio/aio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "conformance/fixtures.h"
#include "conformance/requests.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

constexpr int kSlots = 40;
constexpr size_t kOfSlots = (kSlots + 4) * kSlot;
constexpr size_t kLarge = 200'000;  // of the one message that the pool has room for

// The far ends share, in one channel.
class AioShared : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    memory_ = Area(kOfSlots + (kLarge + 63) / 64 * 64);
    blocks_ = Area(size_t{4} << 20);
    listener_ = Socket::make(SOCK_NONBLOCK);
    listener_.set(SIO_RECV_SLOTS, kSlots).join(far_, EPOLLIN);
    listener_.associate(memory_, DMA_SHARED).associate(blocks_, DMA_SEND);
    listener_.bind(Address::self()).listen();
  }

  Pair connect() {
    Pair pair;
    pair.near = Socket::make(SOCK_NONBLOCK);
    pair.near.join(near_).associate(blocks_, DMA_SEND);
    const int error = pair.near.try_connect(listener_.name());
    if (error != EINPROGRESS) fail("sio_connect: %s", std::strerror(error));
    sio::Socket accepted;
    if (!eventually([&] { return static_cast<bool>(accepted = listener_.sio::Socket::accept()); }))
      fail("nobody to accept");
    pair.far = Socket(std::move(accepted));
    far_.expect(EC_ACCEPT);
    if (near_.skip_to(EC_CONNECT).error != 0) fail("not connected");
    // Who accepts hears a little later that it stands, and until then takes small messages alone.
    if (!eventually([&] { return (pair.far.ready() & EPOLLOUT) != 0; })) fail("not connected");
    return pair;
  }
  std::vector<Pair> connect(size_t n) {
    std::vector<Pair> pairs;
    while (pairs.size() < n) pairs.push_back(connect());
    return pairs;
  }

  aio_cb receive(const Pair& pair) { return told_in(far_, on(pair.far.get(), nullptr, SIZE_MAX)); }

  // Of the next request that ends. Connections that end meanwhile are not of interest.
  static event_data_t outcome_in(const Channel& channel) {
    for (;;) {
      const event_data_t event = channel.next();
      if (event.kind == EC_AIO) return event;
    }
  }

  // Of one byte all through.
  Message large(char of) {
    Message block = Message::reserve(blocks_, kLarge);
    std::memset(block.data(), of, kLarge);
    return block;
  }
  static bool is_large(const Message& message, char of) {
    return message.view() == std::string(kLarge, of);
  }

  Area memory_;
  Area blocks_;
  Channel near_;
  Channel far_;
  Socket listener_;
};

TEST_F(AioShared, ReceivesGetWhatIsForTheirSocketInItsOrder) {
  const std::vector<Pair> pairs = connect(3);
  std::deque<aio_cb> requests;
  for (const Pair& pair : pairs) {
    for (int i = 0; i < 2; ++i) {
      requests.push_back(receive(pair));
      must(aio_recv(&requests.back(), 0), "aio_recv");
    }
  }
  EXPECT_FALSE(far_.try_next(kQuiet));
  for (int i = 0; i < 2; ++i) {
    for (size_t of = pairs.size(); of > 0; --of) {
      const std::string text = std::to_string(of - 1) + std::to_string(i);
      must(pairs[of - 1].near.sio::Socket::send(text), "send");
    }
  }
  std::vector<Message> held;
  for (size_t n = 0; n < requests.size(); ++n) {
    const event_data_t event = outcome_in(far_);
    EXPECT_EQ(event.data.mem, memory_.get());
    const auto which =
        static_cast<size_t>(std::find_if(requests.begin(), requests.end(),
                                         [&](const aio_cb& one) { return &one == event.cookie; }) -
                            requests.begin());
    held.emplace_back(event);
    EXPECT_EQ(held.back().view(), std::to_string(which / 2) + std::to_string(which % 2));
  }
  EXPECT_EQ(accounts(memory_.get()).received, held.size() * kSlot);
  held.clear();
  EXPECT_TRUE(eventually([&] { return accounts(memory_.get()).received == 0; }));
}

TEST_F(AioShared, ACancelledReceiveTakesNothing) {
  const std::vector<Pair> pairs = connect(2);
  aio_cb cancelled = receive(pairs[0]);
  aio_cb stays = receive(pairs[0]);
  aio_cb others = receive(pairs[1]);
  for (aio_cb* one : {&cancelled, &stays, &others}) must(aio_recv(one, 0), "aio_recv");
  must(aio_cb_cancel(&cancelled), "aio_cb_cancel");
  const event_data_t event = outcome_in(far_);
  EXPECT_EQ(event.cookie, &cancelled);
  EXPECT_EQ(event.error, ECANCELED);
  EXPECT_EQ(event.data.buf, nullptr);
  must(pairs[0].near.sio::Socket::send("for the second"), "send");
  EXPECT_EQ(Message(outcome_in(far_)).view(), "for the second");
  must(pairs[1].near.sio::Socket::send("for the other"), "send");
  EXPECT_EQ(Message(outcome_in(far_)).view(), "for the other");
}

TEST_F(AioShared, ReceivesEndWithTheirOwnConnectionAlone) {
  std::vector<Pair> pairs = connect(2);
  aio_cb first = receive(pairs[0]);
  aio_cb second = receive(pairs[1]);
  must(aio_recv(&first, 0), "aio_recv");
  must(aio_recv(&second, 0), "aio_recv");
  pairs[0].near.set_linger(0);
  pairs[0].near.close();
  const event_data_t event = outcome_in(far_);
  EXPECT_EQ(event.cookie, &first);
  EXPECT_EQ(event.error, ECONNRESET);
  must(pairs[1].near.sio::Socket::send("still here"), "send");
  EXPECT_EQ(Message(outcome_in(far_)).view(), "still here");
}

// There is room for one at a time: each comes when the one before it was released.
TEST_F(AioShared, LargeMessagesAreReceivedOneByOne) {
  const std::vector<Pair> pairs = connect(3);
  std::deque<aio_cb> sends;
  std::deque<aio_cb> receives;
  std::map<const void*, size_t> of;
  std::vector<Message> blocks;
  for (size_t i = 0; i < pairs.size(); ++i) {
    receives.push_back(receive(pairs[i]));
    of[&receives.back()] = i;
    must(aio_recv(&receives.back(), 0), "aio_recv");
    blocks.push_back(large(static_cast<char>('a' + i)));
    sends.push_back(told_in(near_, on(pairs[i].near.get(), blocks[i].data(), kLarge)));
    of[&sends.back()] = i;
    must(aio_send(&sends.back(), 0), "aio_send");
  }
  for (size_t n = 0; n < pairs.size(); ++n) {
    const event_data_t received = outcome_in(far_);
    ASSERT_EQ(received.error, 0);
    EXPECT_TRUE(is_large(Message(received), static_cast<char>('a' + of.at(received.cookie))));
    const event_data_t sent = outcome_in(near_);
    EXPECT_EQ(sent.error, 0);
    EXPECT_EQ(sent.data.len, kLarge);
    EXPECT_EQ(sent.data.buf, blocks[of.at(sent.cookie)].data());
  }
  for (const Pair& pair : pairs) EXPECT_EQ(pair.far.info().bulk_received, 1u);
}

TEST_F(AioShared, ALargeMessageThatNobodyIsToReceiveStaysForTheNextCall) {
  const std::vector<Pair> pairs = connect(2);
  aio_cb request = receive(pairs[0]);
  must(aio_recv(&request, 0), "aio_recv");
  must(aio_cb_cancel(&request), "aio_cb_cancel");
  EXPECT_EQ(outcome_in(far_).error, ECANCELED);
  Message block = large('x');
  aio_cb send = told_in(near_, on(pairs[0].near.get(), block.data(), kLarge));
  must(aio_send(&send, SIO_RELEASE), "aio_send");
  block.give_up();
  Message got;
  ASSERT_TRUE(eventually([&] {
    auto received = pairs[0].far.sio::Socket::receive(MSG_DONTWAIT);
    if (received.status) got = Message(std::move(received.buffer));
    return static_cast<bool>(received.status);
  }));
  EXPECT_TRUE(is_large(got, 'x'));
  EXPECT_EQ(outcome_in(near_).error, 0);
  // While it is held the pool is full; small ones of the others have slots.
  aio_cb other = receive(pairs[1]);
  must(aio_recv(&other, 0), "aio_recv");
  must(pairs[1].near.sio::Socket::send("small"), "send");
  EXPECT_EQ(Message(outcome_in(far_)).view(), "small");
}

// It has not left, since the memory is held: it can not be called back for that.
TEST_F(AioShared, ALargeSendThatIsToBeCancelledEndsAsItWouldHave) {
  const std::vector<Pair> pairs = connect(2);
  const Message first = large('1');
  const Message second = large('2');
  aio_cb one = told_in(near_, on(pairs[0].near.get(), first.data(), kLarge));
  aio_cb other = told_in(near_, on(pairs[1].near.get(), second.data(), kLarge));
  aio_cb receives[] = {receive(pairs[0]), receive(pairs[1])};
  for (aio_cb& receive : receives) must(aio_recv(&receive, 0), "aio_recv");
  must(aio_send(&one, 0), "aio_send");
  Message held(outcome_in(far_));
  EXPECT_TRUE(is_large(held, '1'));
  EXPECT_EQ(outcome_in(near_).cookie, &one);
  must(aio_send(&other, 0), "aio_send");
  must(aio_cb_cancel(&other), "aio_cb_cancel");
  EXPECT_FALSE(near_.try_next(kQuiet)) << "there is no memory for it yet";
  held = Message();
  EXPECT_TRUE(is_large(Message(outcome_in(far_)), '2'));
  const event_data_t event = outcome_in(near_);
  EXPECT_EQ(event.cookie, &other);
  EXPECT_EQ(event.error, 0);
}

// A peer that goes while its large message waits for memory: the next one gets it.
TEST_F(AioShared, LargeSendsOfAPeerThatIsClosedMakeWay) {
  std::vector<Pair> pairs = connect(3);
  std::vector<Message> blocks;
  std::deque<aio_cb> sends;
  std::deque<aio_cb> receives;
  for (size_t i = 0; i < pairs.size(); ++i) {
    blocks.push_back(large(static_cast<char>('a' + i)));
    sends.push_back(on(pairs[i].near.get(), blocks[i].data(), kLarge));
    receives.push_back(receive(pairs[i]));
    must(aio_recv(&receives.back(), 0), "aio_recv");
  }
  must(aio_send(&sends[0], 0), "aio_send");
  Message held(outcome_in(far_));
  must(aio_send(&sends[1], 0), "aio_send");
  must(aio_send(&sends[2], 0), "aio_send");
  pairs[1].near.set_linger(0);
  pairs[1].near.close();
  const event_data_t broken = outcome_in(far_);
  EXPECT_EQ(broken.cookie, &receives[1]);
  EXPECT_EQ(broken.error, ECONNRESET);
  EXPECT_EQ(outcome(sends[1]), -ECONNABORTED);
  EXPECT_TRUE(is_large(held, 'a'));
  held = Message();
  EXPECT_TRUE(is_large(Message(outcome_in(far_)), 'c'));
  EXPECT_EQ(outcome(sends[2]), static_cast<ssize_t>(kLarge));
}

// What lies in shared memory is lent and goes back to it.
TEST_F(AioShared, WhatWasReceivedIsSentOnFromWhereItLies) {
  const std::vector<Pair> pairs = connect(2);
  for (int round = 0; round < 3 * kSlots; ++round) {
    aio_cb request = receive(pairs[0]);
    must(aio_recv(&request, 0), "aio_recv");
    const std::string text = "pass it on: " + std::to_string(round) + std::string(3000, '.');
    Message block = Message::reserve(blocks_, text.size());
    std::memcpy(block.data(), text.data(), text.size());
    must(pairs[0].near.sio::Socket::send(std::move(block)), "send");
    Message received(outcome_in(far_));
    EXPECT_EQ(received.view(), text);
    aio_cb send = told_in(far_, on(pairs[1].far.get(), received.data(), received.size()));
    must(aio_send(&send, SIO_RELEASE), "aio_send");
    received.give_up();
    EXPECT_EQ(Message(near_.skip_to(EC_RECV)).view(), text);
    EXPECT_EQ(outcome_in(far_).error, 0);
  }
  EXPECT_TRUE(eventually([&] { return accounts(memory_.get()).received == 0; }));
}

}  // namespace
}  // namespace sio::test
