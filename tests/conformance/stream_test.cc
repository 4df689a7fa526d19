// SPDX-License-Identifier: BSD-2-Clause
//
// Streams of bytes: any split of what is sent, received and released; half-close; sends longer
// than the peer has room for. Written in <sio/sio.hpp>.
#include <sio/aio.h>
#include <sio/sio.hpp>

#include <cerrno>
#include <cstring>
#include <deque>
#include <thread>

#include "conformance/byte_stream.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/requests.h"

namespace sio::test {
namespace {

using Bytes = std::vector<std::byte>;

sockaddr_storage name_of(const Address& address) {
  sockaddr_storage name{};
  std::memcpy(&name, address.get(), address.size());
  return name;
}

class WireStream : public WireTest {
 protected:
  static constexpr size_t kAreaBytes = size_t{8} << 20;

  // A socket to a new peer, in our channel or in none.
  sio::Socket connect(const std::string& behaviour, uint32_t events = 0) {
    peer_.emplace(behaviour);
    sio::Socket socket(peer_->address().family(), SOCK_STREAM);
    if (events != 0) socket.join(channel_, events);
    socket.associate(area_, DMA_SEND).connect(name_of(peer_->address()));
    return socket;
  }

  sio::Buffer block(size_t size, ByteStream& stream) {
    sio::Buffer made = area_.reserve(size);
    if (!made) fail("sio_reserve: %s", std::strerror(errno));
    stream.put(made.bytes());
    return made;
  }

  event_data_t next() {
    for (;;) {
      if (const auto event = channel_.next()) return *event;
      if (!channel_.wait(kSoon)) fail("no event in time");
    }
  }
  event_data_t expect(uint32_t kind) {
    const event_data_t event = next();
    EXPECT_EQ(event.kind, kind) << kind_name(event.kind);
    return event;
  }

  // All bytes up to the end, in portions of at most `most`.
  static uint64_t read_to_end(const sio::Socket& socket, ByteStream& expected,
                              size_t most = SIZE_MAX) {
    for (;;) {
      const auto [status, bytes] = socket.receive(0, most);
      if (!status) fail("sio_recv: %s", std::strerror(status.error()));
      if (!bytes) return expected.position();
      expected.check(bytes.bytes());
    }
  }

  void expect_nothing_in_flight() { EXPECT_EQ(area_.stat().in_flight, 0u); }

  sio::Area area_{kAreaBytes};
  sio::Channel channel_{0u};
  std::optional<Peer> peer_;
};

TEST_F(WireStream, BytesArriveInOrderHoweverTheyAreSplit) {
  for (const size_t largest : {1, 300, 5000, 100'000}) {
    SCOPED_TRACE(largest);
    const uint64_t bytes = scaled(std::min<size_t>(largest * 500, 3'000'000));
    const auto socket = connect("bytes-out seed=5 bytes=" + std::to_string(bytes) +
                                " largest=" + std::to_string(largest));
    ByteStream expected(5);
    EXPECT_EQ(read_to_end(socket, expected, 3000), bytes);
    EXPECT_TRUE(socket.shutdown(SHUT_WR));
    EXPECT_EQ(peer_->expect_number("sent"), bytes);
    peer_->finish();
  }
}

TEST_F(WireStream, BytesAreReceivedAndReleasedInAnyPortions) {
  for (const int most : {1, 77, 20'000}) {
    SCOPED_TRACE(most);
    const auto socket = connect("bytes-in seed=9 most=" + std::to_string(most));
    ByteStream stream(9);
    const uint64_t bytes = most == 1 ? 20'000 : scaled(1'000'000);
    while (stream.position() < bytes) {
      ASSERT_TRUE(socket.send(block(std::min<size_t>(30'000, bytes - stream.position()), stream)));
      ASSERT_TRUE(socket.flush());
    }
    EXPECT_TRUE(socket.shutdown(SHUT_WR));
    EXPECT_EQ(peer_->expect_number("got"), bytes);
    peer_->finish();
  }
}

TEST_F(WireStream, OfOneEndGoesOnWhenTheOtherHasEnded) {
  const auto socket = connect("bytes-in seed=3 back=1");
  ByteStream stream(3);
  ASSERT_TRUE(socket.send(block(100'000, stream)));
  ASSERT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_EQ(socket.send("no more").error(), EPIPE);
  ByteStream back(4);
  EXPECT_EQ(read_to_end(socket, back), 100'000u);
  peer_->finish();
  EXPECT_TRUE(socket.flush());
  expect_nothing_in_flight();
}

TEST_F(WireStream, IsDeliveredAsItComes) {
  const auto socket = connect("bytes-out seed=6 bytes=200000", EC_DELIVER);
  ByteStream expected(6);
  while (expected.position() < 200'000) {
    const event_data_t event = expect(EC_RECV);
    EXPECT_GT(event.data.len, 0u);
    expected.check(sio::buffer_of(event).bytes());
  }
  expect(EC_EOF);
  EXPECT_TRUE(socket.shutdown(SHUT_WR));
  peer_->finish();
}

TEST_F(WireStream, TellsThatThereIsSomethingAgain) {
  const auto socket = connect("bytes-out seed=6 bytes=50000", EPOLLIN);
  ByteStream expected(6);
  bool end = false;
  while (!end) {
    const event_data_t event = next();
    if (event.kind != EC_READABLE && event.kind != EC_EOF) continue;
    for (;;) {
      const auto [status, bytes] = socket.receive(MSG_DONTWAIT, 700);
      if (status.again()) break;
      ASSERT_TRUE(status);
      end = !bytes;
      if (end) break;
      expected.check(bytes.bytes());
    }
  }
  EXPECT_EQ(expected.position(), 50'000u);
}

TEST_F(WireStream, IsReleasedFromTheFrontOfWhatIsHeld) {
  const auto socket = connect("bytes-echo");
  ByteStream stream(1);
  ASSERT_TRUE(socket.send(block(4000, stream)));
  sio::Buffer first = socket.receive(0, 1000).buffer;
  ASSERT_EQ(first.size(), 1000u);
  std::byte* const bytes = first.data();
  const auto release = [](std::byte* at, size_t n) { return sio::Buffer(at, n).release(); };
  EXPECT_EQ(release(bytes + 1, 10).error(), EINVAL) << "not from the front";
  EXPECT_EQ(release(bytes, 1001).error(), EINVAL) << "more than is held";
  EXPECT_EQ(release(bytes, 0).error(), EINVAL) << "nothing";
  EXPECT_EQ(release(bytes + 1000, 10).error(), EINVAL) << "what is not held yet";
  EXPECT_EQ(first.release_front(1001).error(), EINVAL) << "more than there are";
  EXPECT_TRUE(first.release_front(1));
  EXPECT_EQ(release(bytes, 1).error(), EINVAL) << "twice";
  EXPECT_TRUE(first.release_front(500));
  EXPECT_EQ(first.data(), bytes + 501);
  EXPECT_EQ(first.size(), 499u);
  first.give_up();
  sio::Buffer second = socket.receive(0, 500).buffer;
  ASSERT_EQ(second.size(), 500u);
  EXPECT_EQ(second.give_up(), bytes + 1000) << "the same slot";
  EXPECT_TRUE(release(bytes + 501, 999)) << "of two calls at once";
  const auto area = socket.get<dma_mem_t>(SIO_AREA);
  EXPECT_EQ(accounts(area).received, 8192u) << "the slot has more";
  sio::Buffer rest = socket.receive(0, 10'000).buffer;
  EXPECT_EQ(rest.data(), bytes + 1500);
  ASSERT_EQ(rest.size(), 2500u);
  EXPECT_TRUE(rest.release_front(2500)) << "all of it";
  EXPECT_FALSE(rest);
  EXPECT_EQ(accounts(area).received, 0u);
}

TEST_F(WireStream, BytesAreTheLibrarysWhileTheyAreForwarded) {
  const auto socket = connect("bytes-echo");
  ByteStream stream(1);
  ASSERT_TRUE(socket.send(block(8000, stream)));
  sio::Buffer held = socket.receive(0, 6000).buffer;
  ASSERT_EQ(held.size(), 6000u);
  // Back to where it came from, the rear part of it.
  ASSERT_TRUE(socket.send(held.bytes().subspan(2000)));
  EXPECT_EQ(socket.send(std::move(held)).error(), EINVAL) << "more is to come";
  EXPECT_TRUE(held.release_front(1500)) << "what is in front of that";
  EXPECT_TRUE(socket.flush());
  EXPECT_TRUE(held.release());
}

TEST_F(WireStream, SendsAreAcceptedWholeAndLeaveAsThePeerHasRoom) {
  const auto socket = connect("bytes-in seed=2 slots=2 slot_size=4096 hold=0", EC_DELIVER);
  ByteStream stream(2);
  constexpr size_t kBytes = 1'000'000;
  sio::Buffer sent = block(kBytes, stream);
  ASSERT_TRUE(socket.send(sent.bytes()));
  // Nothing else gets between them; and there is no call of ours that moves them on.
  EXPECT_TRUE(socket.send("x", MSG_DONTWAIT).again());
  EXPECT_TRUE(socket.send("x", MSG_DONTWAIT).again());
  bool sent_told = false;
  while (!sent_told) {
    const event_data_t event = next();
    if (event.kind != EC_SENT) continue;
    EXPECT_EQ(event.error, 0);
    EXPECT_EQ(event.data.buf, sent.bytes().data());
    EXPECT_EQ(event.data.len, kBytes);
    sent_told = true;
  }
  EXPECT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_EQ(peer_->expect_number("got"), kBytes);
  peer_->finish();
}

TEST_F(WireStream, WhatWasAcceptedLeavesWithoutFurtherCalls) {
  const auto socket = connect("bytes-in seed=2 slots=4 slot_size=1024 hold=1");
  ByteStream stream(2);
  ASSERT_TRUE(socket.send(block(300'000, stream)));
  ASSERT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_EQ(peer_->expect_number("got"), 300'000u);
}

TEST_F(WireStream, IsGatheredFromManyPlacesAndMoreThanASlot) {
  const auto socket = connect("bytes-in seed=8 slots=4 slot_size=2048 hold=1");
  ByteStream stream(8);
  for (int round = 0; round < 20; ++round) {
    std::vector<sio::Buffer> blocks;
    std::deque<Bytes> copies;
    std::vector<iovec> pieces;
    for (size_t i = 0; i < 16; ++i) {
      if (i % 4 == 1) {
        stream.put(copies.emplace_back(1 + i * 10));
        pieces.push_back({copies.back().data(), copies.back().size()});
      } else {
        blocks.push_back(block(1 + (i * 977 + static_cast<size_t>(round) * 131) % 6000, stream));
        pieces.push_back({blocks.back().bytes().data(), blocks.back().bytes().size()});
      }
    }
    ASSERT_TRUE(socket.send(pieces));
    ASSERT_TRUE(socket.flush());
  }
  EXPECT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_EQ(peer_->expect_number("got"), stream.position());
  expect_nothing_in_flight();
}

TEST_F(WireStream, ComesInSeveralPiecesIfThereIsRoomForThem) {
  const auto socket = connect("bytes-out seed=4 bytes=40000 largest=40000");
  ByteStream expected(4);
  size_t most_pieces = 0;
  ASSERT_TRUE(eventually([&] {  // several slots have come
    (void)socket.peek(MSG_DONTWAIT);
    return accounts(socket.get<dma_mem_t>(SIO_AREA)).received >= 3 * kSlot;
  }));
  while (expected.position() < 40'000) {
    std::array<iovec, 3> room{};
    const auto [status, pieces] = socket.receive_pieces(room);
    ASSERT_TRUE(status);
    ASSERT_FALSE(pieces.empty());
    for (const iovec& one : pieces) {
      const sio::Buffer piece(one.iov_base, one.iov_len);
      expected.check(piece.bytes());
    }
    most_pieces = std::max(most_pieces, pieces.size());
  }
  EXPECT_EQ(most_pieces, 3u);
}

TEST_F(WireStream, IsPeekedAtAndNothingIsNothing) {
  const auto socket = connect("bytes-echo");
  EXPECT_TRUE(socket.send(""));
  sio::Buffer empty = area_.reserve(64);
  EXPECT_TRUE(socket.send(empty.bytes().first(0)));
  EXPECT_TRUE(socket.send("abcdef"));
  const auto peeked = socket.peek();
  ASSERT_GE(peeked.bytes.size(), 4u);
  void* const at = const_cast<std::byte*>(peeked.bytes.data());
  EXPECT_EQ(std::memcmp(at, "abcd", 4), 0);
  EXPECT_EQ(sio::Buffer(at, 4).release().error(), EINVAL) << "it is not ours";
  sio::Buffer none = socket.receive(0, 0).buffer;
  EXPECT_NE(none.give_up(), nullptr) << "not the end";
  EXPECT_EQ(socket.receive(0, 4).buffer.text(), "abcd");
  EXPECT_EQ(socket.receive(0, 4).buffer.text(), "ef");
  EXPECT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_FALSE(socket.receive().buffer);
}

TEST_F(WireStream, ShortSendsTravelTogether) {
  const auto socket = connect("bytes-in seed=7");
  ByteStream stream(7);
  for (int i = 0; i < 3000; ++i) {
    Bytes few(10);
    stream.put(few);
    ASSERT_TRUE(socket.send(few));
  }
  ASSERT_TRUE(socket.shutdown(SHUT_WR));
  EXPECT_EQ(peer_->expect_number("got"), 30'000u);
  const auto info = socket.get<sio_info>(SIO_INFO);
  EXPECT_EQ(info.messages_sent, 3000u);
  EXPECT_EQ(info.bytes_sent, 30'000u);
  EXPECT_LT(info.sends_posted, 1500u);
}

TEST_F(WireStream, WhoseOtherEndIsOfMessagesIsRefused) {
  Peer messages("echo");
  sio::Socket stream(messages.address().family(), SOCK_STREAM);
  try {
    stream.connect(name_of(messages.address()));
    ADD_FAILURE() << "connected";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EPROTO);
  }
  Peer bytes("bytes-echo");
  Socket seqpacket = Socket::make();
  EXPECT_EQ(seqpacket.try_connect(bytes.address()), EPROTO);
  int type = 0;
  EXPECT_EQ(type = stream.get<int>(SO_TYPE, SOL_SOCKET), SOCK_STREAM);
}

TEST_F(WireStream, OfAPeerThatDiesGivesBackWhatWasLent) {
  const auto socket = connect("stubborn slots=2 slot_size=1024", EC_DELIVER);
  peer_->expect("connected");
  ByteStream stream(7);
  sio::Buffer sent = block(500'000, stream);
  ASSERT_TRUE(socket.send(sent.bytes()));
  peer_->kill();
  const event_data_t event = next();
  EXPECT_EQ(event.kind, EC_SENT) << kind_name(event.kind);
  EXPECT_EQ(event.data.buf, sent.bytes().data());
  EXPECT_NE(event.error, 0);
  EXPECT_EQ(expect(EC_HUP).error, event.error);
  expect_nothing_in_flight();
}

TEST_F(WireStream, ThatIsClosedEndsAfterWhatWasAccepted) {
  auto socket = connect("bytes-in seed=2 slots=2 slot_size=4096 hold=0");
  ByteStream stream(2);
  ASSERT_TRUE(socket.send(block(400'000, stream)));
  EXPECT_TRUE(socket.close());
  EXPECT_EQ(peer_->expect_number("got"), 400'000u);
  expect_nothing_in_flight();
}

TEST_F(WireStream, TakesNoMoreThanAGibibyteAtOnce) {
  const auto socket = connect("bytes-echo");
  EXPECT_EQ(socket.get<uint64_t>(SIO_MAX_MESSAGE), uint64_t{1} << 30);
  const std::span<const std::byte> huge(area_.reserve(64).bytes().data(), (size_t{1} << 30) + 1);
  EXPECT_EQ(socket.send(huge).error(), EMSGSIZE);
}

TEST_F(WireStream, IsAskedForByRequestsInPortions) {
  const auto socket = connect("bytes-echo", EPOLLIN);
  std::array<char, 1> unused{};
  aio_cb receives[3];
  for (aio_cb& one : receives) {
    one = on(socket.descriptor(), unused.data(), 100);
    must(aio_recv(&one, 0), "aio_recv");
  }
  ByteStream stream(3);
  sio::Buffer sent = block(20'000, stream);
  aio_cb send = on(socket.descriptor(), sent.bytes().data(), 20'000);
  must(aio_send(&send, 0), "aio_send");
  ByteStream expected(3);
  for (aio_cb& one : receives) {
    ASSERT_EQ(outcome(one), 100);
    expected.check(sio::Buffer(one.aio_buf, 100).bytes());
  }
  EXPECT_EQ(outcome(send), 20'000);
  aio_cb nothing = on(socket.descriptor(), sent.bytes().data(), 0);
  must(aio_send(&nothing, 0), "aio_send");
  EXPECT_EQ(outcome(nothing), 0);
}

// ---------------------------------------------------------------------- peers that speak otherwise

TEST_F(WireStream, OfAPeerThatFramesItsBytesFailsWithEproto) {
  for (const char* name : {"empty-message", "good-train", "good-lane", "grant-1", "kind-0"}) {
    SCOPED_TRACE(name);
    sio::Socket listener(Address::self().family(), SOCK_STREAM);
    listener.bind(name_of(Address::self())).listen();
    const Address address(listener.descriptor(), sio_getsockname);
    Peer liar("raw-dial greeting=type send=" + std::string(name) + to(address));
    const sio::Socket socket = listener.accept();
    const auto [status, bytes] = socket.receive();
    EXPECT_EQ(status.error(), EPROTO);
    liar.expect("established");
    liar.expect("sent");
    liar.expect("ended");
  }
}

}  // namespace
}  // namespace sio::test
