// SPDX-License-Identifier: BSD-2-Clause
//
// Messages from several places, and the other calls that send and receive.
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <functional>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

iovec piece_of(const Message& block) { return {block.data(), block.size()}; }
iovec piece_of(std::string& text) { return {text.data(), text.size()}; }

class WireGather : public WireTest {
 protected:
  void connect(const std::string& behaviour) {
    peer_.emplace(behaviour);
    socket_ = Socket::make();
    socket_.join(channel_).associate(area_, DMA_SEND).connect(peer_->address());
  }

  Message block(size_t size, char fill) {
    Message made = Message::reserve(area_, size);
    std::memset(made.data(), fill, size);
    return made;
  }

  // What is sent, as it comes back; and how many EC_SENT tell of it.
  std::string echo(size_t& told) {
    std::string text;
    told = 0;
    socket_.flush();
    for (bool back = false; !back;) {
      const event_data_t event = channel_.next();
      if (event.kind == EC_SENT) ++told;
      if (event.kind != EC_RECV) continue;
      text = Message(event).view();
      back = true;
    }
    while (const auto event = channel_.try_next(milliseconds(0))) told += event->kind == EC_SENT;
    return text;
  }

  // Nobody has anything of the area but the program.
  void expect_nothing_in_flight() { EXPECT_EQ(accounts(area_.get()).in_flight, 0u); }

  Area area_{size_t{1} << 20};
  Channel channel_;
  Socket socket_;
  std::optional<Peer> peer_;
};

TEST_F(WireGather, PiecesOfAllKindsMakeOneMessage) {
  connect("echo");
  for (uint64_t round = 0; round < scaled(300); ++round) {
    std::vector<Message> blocks;
    std::vector<std::string> texts(16);
    std::vector<iovec> pieces;
    std::string whole;
    size_t elsewhere = 0;
    uint64_t dice = (round + 1) * 0x9e3779b97f4a7c15u;
    const size_t count = dice >> 60;
    for (size_t i = 0; i < count; ++i) {
      dice = dice * 6364136223846793005u + 1442695040888963407u;
      const size_t most = round % 3 == 0 ? 20 : 500;  // small ones are copied, or go inline
      const size_t size = (dice >> 33) % most;
      const char fill = static_cast<char>('a' + i);
      if ((dice >> 20) % 2 == 0 && size > 0) {
        blocks.push_back(block(size, fill));
        pieces.push_back(piece_of(blocks.back()));
      } else if (elsewhere + size <= 1024) {
        texts[i] = std::string(size, fill);
        pieces.push_back(piece_of(texts[i]));
        elsewhere += size;
      } else {
        continue;
      }
      whole += std::string(size, fill);
    }
    must(socket_.send(pieces), "sio_sendmsg");
    size_t told = 0;
    EXPECT_EQ(echo(told), whole);
    EXPECT_EQ(told, blocks.empty() ? 0u : 1u) << "outcomes of one message";
    expect_nothing_in_flight();
  }
}

TEST_F(WireGather, PiecesStayLentUntilTheOneEventIsTaken) {
  connect("echo");
  const Message first = block(1000, 'a');
  const Message second = block(2000, 'b');
  std::string between = "header";
  std::vector<iovec> pieces = {piece_of(between), piece_of(first), piece_of(between),
                               piece_of(second)};
  ASSERT_TRUE(socket_.send(pieces));
  EXPECT_EQ(Buffer(first.data(), first.size()).release().error(), EINVAL);
  const event_data_t sent = channel_.skip_to(EC_SENT);
  EXPECT_EQ(sent.data.buf, first.data());
  EXPECT_EQ(sent.data.len, first.size());
  EXPECT_EQ(sent.data.mem, area_.get());
  expect_nothing_in_flight();
}

TEST_F(WireGather, PiecesGoBackByThemselvesWithSioRelease) {
  connect("echo");
  std::vector<Message> blocks;
  std::vector<iovec> pieces;
  for (size_t i = 0; i < 16; ++i) {
    blocks.push_back(block(100 + i, static_cast<char>('a' + i)));
    pieces.push_back(piece_of(blocks.back()));
  }
  ASSERT_TRUE(socket_.send(pieces, SIO_RELEASE));
  for (Message& one : blocks) one.give_up();
  size_t told = 0;
  EXPECT_EQ(echo(told).size(), 16 * 100 + 120u);
  EXPECT_EQ(told, 0u);
  EXPECT_TRUE(eventually([&] { return accounts(area_.get()).free == area_.bytes(); }));
}

TEST_F(WireGather, WhatFailsLeavesAllPiecesAsTheyWere) {
  connect("echo slot_size=4096");
  const Message first = block(1000, 'a');
  const Message large = block(4096, 'b');
  std::string text(600, 'x');
  const auto send = [&](std::vector<iovec> pieces, int flags = 0) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    return sio_sendmsg(socket_.get(), &message, sizeof message, flags);
  };
  const iovec ours = piece_of(first);
  const iovec half{first.data(), 500};
  const iovec elsewhere = piece_of(text);
  const iovec unknown{static_cast<char*>(accounts(area_.get()).base) + (size_t{1} << 19), 10};
  expect_errors({
      {"too large",
       [&] {
         return send({ours, piece_of(large)});
       },
       EMSGSIZE},
      {"endless",
       [&] {
         return send({ours, {first.data(), SIZE_MAX}});
       },
       EMSGSIZE},
      {"17 pieces", [&] { return send(std::vector<iovec>(17, ours)); }, EMSGSIZE},
      {"1025 pieces", [&] { return send(std::vector<iovec>(IOV_MAX + 1)); }, EMSGSIZE},
      {"too much elsewhere",
       [&] {
         return send({ours, elsewhere, elsewhere});
       },
       EFAULT},
      {"nobody's",
       [&] {
         return send({ours, unknown});
       },
       EFAULT},
      {"NULL",
       [&] {
         return send({ours, {nullptr, 1}});
       },
       EINVAL},
      {"half of a block", [&] { return send({half}, SIO_RELEASE); }, EINVAL},
      {"no block",
       [&] {
         return send({ours, elsewhere}, SIO_RELEASE);
       },
       EINVAL},
      {"unknown flag", [&] { return send({ours}, MSG_OOB); }, EINVAL},
  });
  expect_nothing_in_flight();
  EXPECT_FALSE(channel_.try_next(milliseconds(30)));
}

TEST_F(WireGather, WhatFindsNoRoomLeavesAllPiecesAsTheyWere) {
  connect("serve slots=4");  // takes nothing
  const Message first = block(1000, 'a');
  const Message second = block(1000, 'b');
  std::vector<iovec> pieces = {piece_of(first), piece_of(second)};
  int queued = 0;
  while (socket_.send(pieces, MSG_DONTWAIT)) ASSERT_LT(++queued, 100);
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  EXPECT_EQ(sio_sendmsg(socket_.get(), &message, sizeof message, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  peer_->kill();
  int told = 0;
  for (event_data_t event = channel_.next(); event.kind != EC_HUP; event = channel_.next()) {
    EXPECT_EQ(event.kind, uint32_t{EC_SENT});
    ++told;
  }
  EXPECT_EQ(told, queued);
  expect_nothing_in_flight();
}

// As many outcomes as may be owed; what needs room for more of them than there are says so, and is
// told when there is.
TEST_F(WireGather, WhatNeedsManyOutcomesWaitsForThem) {
  connect("sink seed=81 size=64");
  const Pattern pattern = Pattern::of_size(81, 64);
  std::vector<Message> lent;
  for (uint64_t sent = 0; sent < 1015; ++sent) {
    lent.push_back(block(64, 0));
    pattern.fill(lent.back().data(), sent, 64);
    while (socket_.try_send(lent.back().data(), 64, MSG_DONTWAIT) != 0) socket_.flush();
  }
  socket_.flush();
  std::vector<Message> blocks;
  std::vector<iovec> pieces;
  for (int i = 0; i < 12; ++i) {
    blocks.push_back(block(5 + (i == 11 ? 4 : 0), 'p'));
    pieces.push_back(piece_of(blocks.back()));
  }
  ASSERT_TRUE(socket_.send(pieces, MSG_DONTWAIT).again());
  bool writable = false;
  for (size_t told = 0; told < lent.size() || !writable;) {
    const event_data_t event = channel_.next();
    told += event.kind == EC_SENT;
    writable |= event.kind == EC_WRITABLE;
  }
  std::vector<char> bytes(64);
  pattern.fill(bytes.data(), lent.size(), bytes.size());
  size_t at = 0;
  for (const Message& part : blocks) {
    std::memcpy(part.data(), bytes.data() + at, part.size());
    at += part.size();
  }
  ASSERT_EQ(at, bytes.size());
  EXPECT_TRUE(socket_.send(pieces, MSG_DONTWAIT));
  channel_.expect(EC_SENT);
}

TEST_F(WireGather, EmptyMessagesAreReleasedToo) {
  connect("echo");
  for (int i = 0; i < 100; ++i) {
    socket_.send("");
    Message received(channel_.expect(EC_RECV));
    std::vector<iovec> pieces{piece_of(received)};
    ASSERT_TRUE(socket_.send(pieces, SIO_RELEASE));
    EXPECT_EQ(Buffer(received.data(), 0).release().error(), EINVAL) << "it was given away";
    received.give_up();
    EXPECT_EQ(Message(channel_.expect(EC_RECV)).size(), 0u);
  }
  iovec nothing{nullptr, 0};
  msghdr message{};
  message.msg_iov = &nothing;
  message.msg_iovlen = 1;
  EXPECT_EQ(sio_sendmsg(socket_.get(), &message, sizeof message, SIO_RELEASE), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(WireGather, HeaderMisused) {
  connect("echo");
  const int fd = socket_.get();
  msghdr header{};
  iovec piece{};
  char control[64];
  msghdr named = header;
  named.msg_name = control;
  msghdr controlled = header;
  controlled.msg_control = control;
  controlled.msg_controllen = sizeof control;
  msghdr nowhere = header;
  nowhere.msg_iovlen = 1;
  msghdr receiving = header;
  receiving.msg_iov = &piece;
  receiving.msg_iovlen = 1;
  const Address to = socket_.peer_name();
  const auto send = [fd](const msghdr& message) {
    return sio_sendmsg(fd, &message, sizeof message, 0);
  };
  const auto receive = [fd](msghdr* message, size_t size = sizeof(msghdr), int flags = 0) {
    const void* at = message;
    return sio_recvmsg(fd, &at, size, flags | MSG_DONTWAIT);
  };
  expect_errors({
      {"NULL", [&] { return sio_sendmsg(fd, nullptr, sizeof header, 0); }, EINVAL},
      {"size", [&] { return sio_sendmsg(fd, &header, sizeof header - 1, 0); }, EINVAL},
      {"name", [&] { return send(named); }, EISCONN},
      {"control", [&] { return send(controlled); }, EINVAL},
      {"no pieces", [&] { return send(nowhere); }, EINVAL},
      {"descriptor", [&] { return sio_sendmsg(-1, &header, sizeof header, 0); }, EBADF},
      {"to", [&] { return sio_sendto(fd, "x", 1, 0, to.get(), to.size()); }, EISCONN},
      {"tolen", [&] { return sio_sendto(fd, "x", 1, 0, nullptr, 1); }, EISCONN},
      {"descriptor", [&] { return sio_sendto(-1, "x", 1, 0, to.get(), to.size()); }, EBADF},
      {"NULL", [&] { return receive(nullptr); }, EINVAL},
      {"nothing", [&] { return sio_recvmsg(fd, nullptr, sizeof header, 0); }, EINVAL},
      {"size", [&] { return receive(&receiving, 8); }, EINVAL},
      {"no pieces", [&] { return receive(&header); }, EINVAL},
      {"flag", [&] { return receive(&receiving, sizeof header, MSG_WAITALL); }, EINVAL},
      {"delivers", [&] { return receive(&receiving); }, EINVAL},
  });
}

// --------------------------------------------------------------------------------- receiving

class WireReceive : public WireTest {
 protected:
  Pair pair_ = make_pair();
};

TEST_F(WireReceive, PeekedMessageStaysTheNext) {
  pair_.near.send("first");
  pair_.near.send("second");
  const auto peeked = pair_.far.peek();
  ASSERT_EQ(peeked.bytes.size(), 5u);
  void* const at = const_cast<std::byte*>(peeked.bytes.data());
  EXPECT_EQ(Buffer(at, 5).release().error(), EINVAL) << "it is not the program's";
  EXPECT_EQ(pair_.far.peek(MSG_DONTWAIT).bytes.data(), at);
  const Message first = pair_.far.receive();
  EXPECT_EQ(first.data(), at);
  EXPECT_EQ(first.view(), "first");
  EXPECT_EQ(pair_.far.receive().view(), "second");
  EXPECT_TRUE(pair_.far.peek(MSG_DONTWAIT).status.again());
}

TEST_F(WireReceive, FromTellsWhoSent) {
  must(sio_sendto(pair_.near.get(), "hello", 5, 0, nullptr, 0), "sio_sendto");
  sockaddr_storage from{};
  auto* const name = reinterpret_cast<sockaddr*>(&from);
  const void* data = nullptr;
  const int length = must(sio_recvfrom(pair_.far.get(), &data, SIZE_MAX, 0, name, sizeof from), "");
  const Message message(const_cast<void*>(data), static_cast<size_t>(length));
  EXPECT_EQ(message.view(), "hello");
  EXPECT_EQ(std::memcmp(&from, pair_.far.peer_name().get(), pair_.far.peer_name().size()), 0);
  pair_.near.send("more");
  EXPECT_EQ(sio_recvfrom(pair_.far.get(), &data, 3, 0, nullptr, 0), -1);
  EXPECT_EQ(errno, EMSGSIZE);
  EXPECT_EQ(sio_recvfrom(pair_.far.get(), &data, SIZE_MAX, 0, nullptr, 1), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(sio_recvfrom(pair_.far.get(), nullptr, SIZE_MAX, 0, nullptr, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(sio_recvfrom(-1, &data, SIZE_MAX, 0, nullptr, 0), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_F(WireReceive, FromTellsWhoSentAlsoWhenTheConnectionHasGone) {
  const Address sender = pair_.far.peer_name();
  for (int i = 0; i < 2; ++i) pair_.near.send("last");
  pair_.near.close();
  ASSERT_TRUE(eventually([&] { return (pair_.far.ready() & EPOLLHUP) != 0; }));
  {
    const auto [status, buffer, from] = pair_.far.receive_from();
    EXPECT_EQ(buffer.text(), "last");
    EXPECT_EQ(std::memcmp(&from, sender.get(), sender.size()), 0);
  }
  sockaddr_storage from{};
  const void* data = nullptr;
  iovec piece{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  data = &message;
  ASSERT_EQ(sio_recvmsg(pair_.far.get(), &data, sizeof message, 0), 4);
  EXPECT_EQ(Message(piece.iov_base, 4).view(), "last");
  EXPECT_EQ(message.msg_namelen, sender.size());
  EXPECT_EQ(std::memcmp(&from, sender.get(), sender.size()), 0);
}

TEST_F(WireReceive, MessageTellsItsPiecesAndWhoSent) {
  iovec piece{};
  sockaddr_storage from{};
  msghdr message{};
  message.msg_iov = &piece;
  const auto receive = [&] {
    message.msg_iovlen = 1;
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    const void* at = &message;
    return sio_recvmsg(pair_.far.get(), &at, sizeof message, 0);
  };
  pair_.near.send("in pieces");
  EXPECT_EQ(receive(), 9);
  ASSERT_EQ(message.msg_iovlen, 1u);
  EXPECT_EQ(Message(piece.iov_base, piece.iov_len).view(), "in pieces");
  EXPECT_EQ(message.msg_namelen, pair_.far.peer_name().size());
  EXPECT_EQ(std::memcmp(&from, pair_.far.peer_name().get(), message.msg_namelen), 0);
  EXPECT_EQ(message.msg_flags, MSG_EOR);
  pair_.near.send("");
  EXPECT_EQ(receive(), 0);
  ASSERT_EQ(message.msg_iovlen, 1u) << "an empty message";
  EXPECT_NE(piece.iov_base, nullptr);
  const Message empty(piece.iov_base, 0);
  must(pair_.near.shutdown(SHUT_WR), "shutdown");
  EXPECT_EQ(receive(), 0);
  EXPECT_EQ(message.msg_iovlen, 0u) << "the end";
}

// -------------------------------------------------------------------------------------- more

TEST_F(WireReceive, MoreTravelsWithWhatFollows) {
  // What has waited for nearly a millisecond leaves. So it does not count when this thread lost the
  // processor in between.
  const auto is_quick = [&] {
    const uint64_t before = pair_.near.info().sends_posted;
    const auto start = Clock::now();
    for (const char* text : {"one", "two", "three"}) {
      pair_.near.send(text, MSG_MORE);
    }
    pair_.near.send("four");
    const bool quick = Clock::now() - start < std::chrono::microseconds(800);
    for (const char* text : {"one", "two", "three", "four"}) {
      EXPECT_EQ(pair_.far.receive().view(), text);
    }
    EXPECT_TRUE(!quick || pair_.near.info().sends_posted == before + 1);
    return quick;
  };
  EXPECT_TRUE(eventually(is_quick)) << "not once within a millisecond";
}

TEST_F(WireReceive, MoreLeavesThoughNothingFollows) {
  pair_.near.send("alone", MSG_MORE);
  EXPECT_EQ(pair_.far.receive().view(), "alone");  // this program calls for the sender no more
}

// A program that polls its channel calls again and again, and sleeps never.
class WireMore : public WireTest {
 protected:
  // Who looks now finds nothing, and leaves the channel as it is.
  void arm() {
    channel_.descriptor();
    EXPECT_FALSE(channel_.poll());
  }
  // Each time, and of twenty times ten at least as soon as is promised: a machine may hold a
  // thread up.
  void expect_that_it_leaves(const std::function<void()>& meanwhile) {
    const auto send = [&] { pair_.near.send("alone", MSG_MORE); };
    expect_in_time([&] { return time_to_leave(pair_.far, send, meanwhile); });
  }
  static void expect_in_time(const std::function<Clock::duration()>& time_to_leave) {
    std::array<Clock::duration, 20> times;
    const auto in_time = [&] {
      std::generate(times.begin(), times.end(), time_to_leave);
      std::sort(times.begin(), times.end());
      return times[9] <= milliseconds(2);
    };
    EXPECT_TRUE(eventually(in_time))
        << "the tenth after " << std::chrono::duration<double, std::milli>(times[9]).count()
        << " ms";
  }
  // Until the message is there, or much too long after it was sent.
  static Clock::duration time_to_leave(Socket& far, const std::function<void()>& send,
                                       const std::function<void()>& meanwhile) {
    send();
    const auto sent = Clock::now();
    Socket::Received got = far.try_receive(MSG_DONTWAIT);
    while (got.status.again() && Clock::now() - sent < milliseconds(2000)) {
      meanwhile();
      got = far.try_receive(MSG_DONTWAIT);
    }
    if (!got.status.ok()) fail("it is still there");
    EXPECT_EQ(got.buffer.text(), "alone");
    return Clock::now() - sent;
  }

  const Channel channel_;
  Pair pair_ = make_pair(&channel_);
};

TEST_F(WireMore, LeavesThoughTheProgramPolls) {
  arm();
  expect_that_it_leaves([&] { EXPECT_FALSE(channel_.poll()); });
}

TEST_F(WireMore, LeavesThoughAnotherThreadHasTheLockNearlyAlways) {
  arm();
  const std::jthread poller([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) EXPECT_FALSE(channel_.poll());
  });
  expect_that_it_leaves([] { std::this_thread::sleep_for(std::chrono::microseconds(100)); });
}

TEST_F(WireMore, LeavesThoughThereIsTrafficBesideIt) {
  Pair beside = make_pair(&channel_);
  expect_that_it_leaves([&] {
    beside.near.send("ping");
    beside.far.receive();
    beside.far.send("pong");
    Message back(channel_.skip_to(EC_RECV));
  });
}

// Something is always held, so the looks at it do not begin with this message; and between two that
// the program takes itself there is nearly a tick.
TEST_F(WireMore, LeavesThoughMoreIsHeldBesideIt) {
  Pair beside = make_pair(&channel_);
  expect_that_it_leaves([&] {
    EXPECT_FALSE(channel_.poll());
    beside.near.send("more", MSG_MORE);
    while (beside.far.try_receive(MSG_DONTWAIT).status.ok()) continue;
    spin_for(std::chrono::microseconds(50));
  });
}

TEST_F(WireMore, LeavesThoughItsThreadSpins) {
  Pair pair = make_pair();
  pair.near.set(SIO_SPIN_US, 200'000);
  expect_in_time([&] {
    std::thread spinner;
    const auto send = [&] {
      pair.near.send("alone", MSG_MORE);
      spinner = std::thread([&] { EXPECT_EQ(pair.near.receive().view(), "enough"); });
    };
    // Else this thread would spin as well, on the same processor perhaps.
    const auto meanwhile = [] { std::this_thread::sleep_for(std::chrono::microseconds(100)); };
    const Clock::duration time = time_to_leave(pair.far, send, meanwhile);
    pair.far.send("enough");
    spinner.join();
    return time;
  });
}

}  // namespace
}  // namespace sio::test
