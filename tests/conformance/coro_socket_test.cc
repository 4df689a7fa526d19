// SPDX-License-Identifier: BSD-2-Clause
//
// <sio/coro.hpp>: sockets that are awaited.
#include <poll.h>
#include <sio/coro.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using namespace std::chrono_literals;
using coro::Loop;
using coro::Task;

// The errno with which it ends; 0: well.
Task<int> error_of(Task<> task) {
  try {
    co_await std::move(task);
  } catch (const std::system_error& error) {
    co_return error.code().value();
  }
  co_return 0;
}

coro::Socket socket_for(Loop& loop, const Address& address, int type = SOCK_SEQPACKET) {
  return coro::Socket(loop, address.family(), type);
}

coro::Socket listener_in(Loop& loop) {
  coro::Socket listener = socket_for(loop, Address::self());
  listener->bind(Address::self().storage()).listen(64);
  return listener;
}

// Both ends of a connection in one loop.
struct Ends {
  explicit Ends(Loop& loop, Peer* peer = nullptr) : loop(loop) {
    if (peer == nullptr) {
      loop.run(accept());
    } else {
      near = socket_for(loop, peer->address());
      loop.run(connect(peer->address().storage()));
    }
  }
  Task<> connect(sockaddr_storage to) { co_await near.connect(to); }
  Task<> accept() {
    coro::Socket listener = listener_in(loop);
    near = socket_for(loop, Address::self());
    loop.spawn(connect(listener->name()));
    far = co_await listener.accept();
  }

  Loop& loop;
  coro::Socket near;
  coro::Socket far;
};

// So many messages, or as many as come until the end; how many there were.
Task<int> take(coro::Socket& socket, int most = INT_MAX) {
  int taken = 0;
  while (taken < most && co_await socket.recv()) ++taken;
  co_return taken;
}

// The end of a connection, as sends and receives say it: in order, reset, or silent.
void expect_failed(int error) {
  EXPECT_TRUE(error == EPIPE || error == ECONNRESET || error == ETIMEDOUT) << std::strerror(error);
}

using WireCoro = WireTest;
using CoroSockets = DeviceTest;

// ----------------------------------------------------------------------------- there and back

TEST_F(WireCoro, MessagesGoThereAndBack) {
  Peer peer("echo");
  const sio::Area area(65536);
  Loop loop;
  coro::Socket socket = socket_for(loop, peer.address());
  socket->associate(area, DMA_SEND);
  const auto run = [&]() -> Task<> {
    co_await socket.connect(peer.address().storage());
    co_await socket.send("hello");
    EXPECT_EQ((co_await socket.recv()).text(), "hello");
    sio::Buffer buffer = area.reserve(64);
    std::memset(buffer.data(), 'x', 64);
    co_await socket.send(std::move(buffer));
    EXPECT_FALSE(buffer);
    buffer = co_await socket.recv();
    EXPECT_EQ(buffer.text(), std::string(64, 'x'));
    co_await socket.send(std::move(buffer));  // what was received
    EXPECT_EQ((co_await socket.recv()).size(), 64u);
    char text[] = "abc";
    const std::vector<iovec> pieces{{text, 3}, {text, 2}};
    co_await socket.send(std::span(pieces));
    EXPECT_EQ((co_await socket.recv()).text(), "abcab");
    co_await socket.send(std::as_bytes(std::span(text)));
    EXPECT_EQ((co_await socket.recv()).size(), 4u);
    EXPECT_TRUE(socket->shutdown(SHUT_WR));
    EXPECT_FALSE(co_await socket.recv()) << "the end";
    EXPECT_FALSE(co_await socket.recv()) << "again";
  };
  loop.run(run());
  peer.finish();
}

TEST_F(WireCoro, BytesOfAStreamComeInPortions) {
  Peer peer("bytes-echo");
  Loop loop;
  coro::Socket socket = socket_for(loop, peer.address(), SOCK_STREAM);
  const auto run = [&]() -> Task<> {
    co_await socket.connect(peer.address().storage());
    co_await socket.send("abcdef");
    std::string all;
    while (all.size() < 6) all += (co_await socket.recv(4)).text();
    EXPECT_EQ(all, "abcdef");
  };
  loop.run(run());
}

TEST_F(WireCoro, DatagramsGoThereAndBack) {
  Peer peer("datagram-echo");
  const sio::Area area(65536);
  Loop loop;
  coro::Socket socket = socket_for(loop, peer.address(), SOCK_DGRAM);
  socket->associate(area, DMA_SEND);
  const sockaddr_storage to = peer.address().storage();
  const auto run = [&]() -> Task<> {
    co_await socket.send_to(to, "hello");
    const auto [status, message, from] = co_await socket.recv_from();
    EXPECT_EQ(message.text(), "hello");
    EXPECT_EQ(Address(reinterpret_cast<const sockaddr*>(&from)), peer.address());
    sio::Buffer buffer = area.reserve(64);
    std::memset(buffer.data(), 'x', 64);
    co_await socket.send_to(to, std::move(buffer));
    EXPECT_FALSE(buffer);
    EXPECT_EQ((co_await socket.recv_from()).buffer.size(), 64u);
    char text[] = "abc";
    const std::vector<iovec> pieces{{text, 3}, {text, 2}};
    co_await socket.send_to(to, std::span(pieces));
    EXPECT_EQ((co_await socket.recv()).text(), "abcab");
    co_await socket.connect(to);
    co_await socket.send("end");
  };
  loop.run(run());
  EXPECT_TRUE(socket->flush(kSoon));
  peer.finish();
}

// A server and its clients in one thread.
TEST_F(CoroSockets, ManyTalkAtOnce) {
  constexpr int kClients = 40;
  constexpr int kMessages = 50;
  Loop loop;
  int answered = 0;
  const auto echo = [](coro::Socket peer) -> Task<> {
    while (sio::Buffer message = co_await peer.recv()) co_await peer.send(std::move(message));
  };
  const auto client = [&](sockaddr_storage to, int number) -> Task<> {
    coro::Socket socket = socket_for(loop, Address::self());
    co_await socket.connect(to);
    for (int i = 0; i < kMessages; ++i) {
      const std::string text = std::to_string(number) + " " + std::to_string(i);
      co_await socket.send(text);
      const sio::Buffer answer = co_await socket.recv();
      EXPECT_EQ(answer.text(), text);
      ++answered;
    }
  };
  const auto serve = [&]() -> Task<> {
    coro::Socket listener = listener_in(loop);
    for (int i = 0; i < kClients; ++i) loop.spawn(client(listener->name(), i));
    for (int i = 0; i < kClients; ++i) loop.spawn(echo(co_await listener.accept()));
  };
  loop.spawn(serve());
  loop.run();
  EXPECT_EQ(answered, kClients * kMessages);
}

// ------------------------------------------------------------------------------- back-pressure

TEST_F(WireCoro, SendWaitsForRoom) {
  Peer peer("serve then=idle");
  Loop loop;
  Ends ends(loop, &peer);
  int sent = 0;
  const auto fill = [&]() -> Task<> {
    const std::string text(512, 'x');
    for (;; ++sent) co_await ends.near.send(text).within(200ms);
  };
  EXPECT_EQ(loop.run(error_of(fill())), ETIMEDOUT);
  EXPECT_GT(sent, 10);
  EXPECT_EQ(loop.run(error_of(fill())), ETIMEDOUT) << "still";
}

TEST_F(WireCoro, SendGoesOnWhenThereIsRoom) {
  Peer peer("slow size=512");
  const Pattern pattern = Pattern::of_size(1, 512);
  Loop loop;
  Ends ends(loop, &peer);
  int sent = 0;
  const auto fill = [&]() -> Task<> {
    std::vector<char> text(512);
    for (; sent < 3000; ++sent) {
      pattern.fill(text.data(), static_cast<uint64_t>(sent), text.size());
      co_await ends.near.send(std::as_bytes(std::span(text)));
    }
    EXPECT_TRUE(ends.near->shutdown(SHUT_WR));
  };
  const auto watch = [&]() -> Task<> {
    for (int before = -1; before != sent;) {
      before = sent;
      co_await loop.sleep_for(300ms);
    }
    EXPECT_LT(sent, 3000);
    peer.say("drain");
  };
  loop.spawn(fill());
  loop.spawn(watch());
  loop.run();
  EXPECT_EQ(peer.expect_number("done"), 3000u);
}

// Who sent first is served first, and what can not be sent in time still is the caller's.
TEST_F(CoroSockets, SendersAreServedInOrder) {
  const sio::Area area(65536);
  Loop loop;
  Ends ends(loop);
  std::string order;
  const auto fill = [&]() -> Task<> {
    for (;;) co_await ends.near.send("fills").within(50ms);
  };
  ASSERT_EQ(loop.run(error_of(fill())), ETIMEDOUT);
  const auto send = [&](std::string text) -> Task<> {
    co_await ends.near.send(text);
    order += text;
  };
  const auto give_up = [&]() -> Task<> {
    sio::Buffer buffer = area.reserve(64);
    try {
      co_await ends.near.send(std::move(buffer)).within(20ms);
      ADD_FAILURE() << "there is room";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ETIMEDOUT);
    }
    EXPECT_TRUE(buffer);
  };
  for (const char* text : {"a", "b"}) loop.spawn(send(text));
  loop.spawn(give_up());
  loop.spawn(send("c"));
  const auto drain = [&]() -> Task<> {
    co_await loop.sleep_for(40ms);
    std::string received;
    while (received != "abc") {
      const sio::Buffer message = co_await ends.far.recv();
      if (message.size() == 1) received += message.text();
    }
  };
  loop.spawn(drain());
  loop.run();
  EXPECT_EQ(order, "abc");
}

// ------------------------------------------------------------------------------------ fairness

TEST_F(CoroSockets, WhoAlwaysFindsAMessageStarvesNobody) {
  constexpr int kMessages = 5000;
  Loop loop;
  Ends ends(loop);
  int taken = 0;
  bool ended = false;
  int most = 0;
  const auto receive = [&]() -> Task<> {
    while (co_await ends.far.recv()) ++taken;
    ended = true;
  };
  const auto send = [&]() -> Task<> {
    for (int i = 0; i < kMessages; ++i) co_await ends.near.send("message");
    EXPECT_TRUE(ends.near->shutdown(SHUT_WR));
  };
  const auto watch = [&]() -> Task<> {
    while (!ended) {
      const int before = taken;
      co_await loop.yield();
      most = std::max(most, taken - before);
    }
  };
  loop.spawn(receive());
  loop.spawn(send());
  loop.spawn(watch());
  loop.run();
  EXPECT_EQ(taken, kMessages);
  EXPECT_LE(most, 33);
  EXPECT_GT(most, 1) << "it did find some at once";
}

TEST_F(CoroSockets, ReceiversAreServedInOrder) {
  Loop loop;
  Ends ends(loop);
  int waiting = 0;
  std::string order;
  const auto receive = [&](char name) -> Task<> {
    ++waiting;
    for (int i = 0; i < 2; ++i) {
      const sio::Buffer message = co_await ends.far.recv();
      order += name;
      order += message.text();
    }
  };
  for (const char name : {'a', 'b', 'c'}) loop.spawn(receive(name));
  const auto send = [&]() -> Task<> {
    while (waiting < 3) co_await loop.yield();
    for (const char* text : {"1", "2", "3", "4", "5", "6"}) {
      const size_t before = order.size();
      co_await ends.near.send(text);
      while (order.size() == before) co_await loop.sleep_for(1ms);
    }
  };
  loop.run(send());
  loop.run();
  EXPECT_EQ(order, "a1b2c3a4b5c6");
}

// However many have come before the first of them goes on.
TEST_F(CoroSockets, ReceiversAreServedInOrderOfWhatHasCome) {
  Loop loop;
  Ends ends(loop);
  int waiting = 0;
  std::array<std::string, 3> taken;
  const auto receive = [&](std::string& mine) -> Task<> {
    ++waiting;
    for (int i = 0; i < 2; ++i) {
      const sio::Buffer message = co_await ends.far.recv();
      mine += message.text();
    }
  };
  for (std::string& one : taken) loop.spawn(receive(one));
  const auto send = [&]() -> Task<> {
    while (waiting < 3) co_await loop.yield();
    for (const char* text : {"1", "2", "3", "4", "5", "6"}) co_await ends.near.send(text);
  };
  loop.run(send());
  loop.run();
  EXPECT_EQ(taken, (std::array<std::string, 3>{"14", "25", "36"}));
}

// A large one, for which the peer's program has no memory; behind it one that could go.
TEST_F(WireCoro, WhoWaitsBehindOneThatGivesUpIsServed) {
  constexpr size_t kLarge = 20'000;
  Peer peer("serve then=idle receive=700000");
  const sio::Area area(size_t{8} << 20);
  Loop loop;
  coro::Socket socket = socket_for(loop, peer.address());
  socket->associate(area, DMA_SEND);
  const auto connect = [&]() -> Task<> { co_await socket.connect(peer.address().storage()); };
  loop.run(connect());
  sio::Buffer large = area.reserve(kLarge);
  while (socket->send(std::move(large), MSG_DONTWAIT).ok()) large = area.reserve(kLarge);
  const auto give_up = [&]() -> Task<> { co_await socket.send(std::move(large)).within(300ms); };
  const auto follow = [&]() -> Task<> { co_await socket.send("small").within(3s); };
  int first = -1;
  int second = -1;
  const auto note = [&](int& error, Task<> task) -> Task<> {
    error = co_await error_of(std::move(task));
  };
  loop.spawn(note(first, give_up()));
  loop.spawn(note(second, follow()));
  loop.run();
  EXPECT_EQ(first, ETIMEDOUT);
  EXPECT_EQ(second, 0);
}

// ---------------------------------------------------------------------------------- connections

TEST_F(CoroSockets, ConnectThatIsRefusedMayBeTriedAgain) {
  Loop loop;
  coro::Socket listener = listener_in(loop);
  const sockaddr_storage name = listener->name();
  EXPECT_TRUE(listener.close());
  coro::Socket socket = socket_for(loop, Address::self());
  const auto connect = [&](sockaddr_storage to) -> Task<> { co_await socket.connect(to); };
  EXPECT_EQ(loop.run(error_of(connect(name))), ECONNREFUSED);
  listener = listener_in(loop);
  loop.spawn(connect(listener->name()));
  const auto accept = [&]() -> Task<coro::Socket> { co_return co_await listener.accept(); };
  coro::Socket accepted = loop.run(accept());
  loop.run();
  EXPECT_EQ(loop.run(error_of(connect(name))), EISCONN);
  EXPECT_TRUE(accepted);
}

TEST_F(WireCoro, ConnectWaitsNoLongerThanItMay) {
  Peer peer("mute");
  Loop loop;
  coro::Socket socket = socket_for(loop, peer.address());
  const auto connect = [&]() -> Task<> {
    co_await socket.connect(peer.address().storage()).within(50ms);
  };
  EXPECT_EQ(loop.run(error_of(connect())), ETIMEDOUT);
  EXPECT_EQ(loop.run(error_of(connect())), EALREADY);
}

TEST_F(CoroSockets, AcceptersAreServedInOrder) {
  Loop loop;
  coro::Socket listener = listener_in(loop);
  std::string order;
  std::vector<coro::Socket> kept;
  const auto accept = [&](char name) -> Task<> {
    kept.push_back(co_await listener.accept());
    order += name;
  };
  const auto connect = [&]() -> Task<> {
    kept.push_back(socket_for(loop, Address::self()));
    co_await coro::Socket(std::move(kept.back())).connect(listener->name());
  };
  for (const char name : {'a', 'b'}) loop.spawn(accept(name));
  const auto wait = [&]() -> Task<> { co_await listener.accept().within(10ms); };
  EXPECT_EQ(loop.run(error_of(wait())), ETIMEDOUT);
  for (int i = 0; i < 2; ++i) loop.run(connect());
  loop.run();
  EXPECT_EQ(order, "ab");
}

// --------------------------------------------------------------------------------------- the end

TEST_F(WireCoro, PeerThatEndsEndsRecv) {
  Peer peer("serve then=idle");
  Loop loop;
  Ends ends(loop, &peer);
  const auto close = [&]() -> Task<> {
    co_await loop.sleep_for(10ms);
    peer.say("close");
  };
  loop.spawn(close());
  EXPECT_EQ(loop.run(take(ends.near)), 0);
  const auto send = [&]() -> Task<> {
    for (;;) co_await ends.near.send("more");
  };
  expect_failed(loop.run(error_of(send())));
}

TEST_F(WireCoro, PeerThatDiesFailsWhoWaits) {
  Peer peer("serve then=idle");
  Loop loop;
  Ends ends(loop, &peer);
  const auto receive = [&]() -> Task<> { co_await ends.near.recv(); };
  const auto kill = [&]() -> Task<> {
    co_await loop.sleep_for(10ms);
    peer.kill();
  };
  loop.spawn(kill());
  expect_failed(loop.run(error_of(receive())));
}

// Until `sent` does not grow any more: there is no room, and what was acknowledged late has given
// none.
Task<> until_stuck(Loop& loop, const int& sent) {
  for (int before = -1; before != sent;) {
    before = sent;
    co_await loop.sleep_for(200ms);
  }
}

// Sends until it fails. `stuck` is called once there is no room any more.
Task<int> fill_until_it_fails(Loop& loop, coro::Socket& socket, std::function<void()> stuck) {
  int sent = 0;
  const auto send = [&]() -> Task<> {
    const std::string text(1024, 'x');
    for (;; ++sent) co_await socket.send(text);
  };
  const auto watch = [&]() -> Task<> {
    co_await until_stuck(loop, sent);
    stuck();
  };
  loop.spawn(watch());
  co_return co_await error_of(send());
}

// Nobody takes what has come, so EC_HUP, which is behind that, does not come.
TEST_F(WireCoro, PeerThatDiesFailsWhoSends) {
  Peer peer("serve then=flood");
  Loop loop;
  Ends ends(loop, &peer);
  ASSERT_EQ(loop.run(take(ends.near, 1)), 1) << "there is more";
  expect_failed(loop.run(fill_until_it_fails(loop, ends.near, [&] { peer.kill(); })));
}

TEST_F(CoroSockets, PeerThatClosesFailsWhoSends) {
  Loop loop;
  Ends ends(loop);
  const auto send = [&]() -> Task<> {
    for (int i = 0; i < 10; ++i) co_await ends.far.send("not taken");
  };
  loop.run(send());
  expect_failed(
      loop.run(fill_until_it_fails(loop, ends.near, [&] { EXPECT_TRUE(ends.far.close()); })));
}

TEST_F(CoroSockets, CloseWakesWhoWaits) {
  Loop loop;
  Ends ends(loop);
  coro::Socket listener = listener_in(loop);
  coro::Socket connecting = socket_for(loop, Address::self());
  std::vector<int> errors;
  const auto wait = [&](Task<> task) -> Task<> {
    errors.push_back(co_await error_of(std::move(task)));
  };
  const auto receive = [&]() -> Task<> { co_await ends.near.recv(); };
  int sent = 0;
  const auto send = [&]() -> Task<> {
    for (;; ++sent) co_await ends.near.send("fills");
  };
  const auto accept = [&]() -> Task<> { co_await listener.accept(); };
  const auto connect = [&]() -> Task<> { co_await connecting.connect(listener->name()); };
  loop.spawn(wait(receive()));
  loop.spawn(wait(receive()));
  loop.spawn(wait(send()));
  loop.spawn(wait(accept()));
  loop.run(until_stuck(loop, sent));
  EXPECT_TRUE(errors.empty());
  EXPECT_TRUE(ends.near.close());
  listener = {};
  EXPECT_TRUE(errors.empty()) << "they go on when it is their turn";
  loop.run();
  EXPECT_EQ(errors, (std::vector<int>(4, ECANCELED)));
  EXPECT_FALSE(ends.near);
  EXPECT_EQ(loop.run(error_of(receive())), EBADF);
  listener = listener_in(loop);
  loop.spawn(wait(connect()));
  const auto pause = [&]() -> Task<> { co_await loop.sleep_for(50ms); };
  loop.run(pause());
  connecting = {};
  loop.run();
  EXPECT_EQ(errors.back(), ECANCELED);
}

TEST_F(WireCoro, RecvWaitsNoLongerThanItMay) {
  Peer peer("echo");
  Loop loop;
  Ends ends(loop, &peer);
  const auto receive = [&]() -> Task<> { co_await ends.near.recv().within(20ms); };
  const auto begin = Clock::now();
  EXPECT_EQ(loop.run(error_of(receive())), ETIMEDOUT);
  EXPECT_GE(since(begin), 20ms);
  const auto talk = [&]() -> Task<> {
    for (int i = 0; i < 10; ++i) {
      const std::string text = std::to_string(i);
      co_await ends.near.send(text).within(kSoon);
      EXPECT_EQ((co_await ends.near.recv().within(kSoon)).text(), text);
    }
  };
  loop.run(talk());
}

// What a coroutine has got, and not seen yet, goes with it.
TEST_F(CoroSockets, LoopThatGoesLeavesNothing) {
  const sio::Area area(size_t{4} << 20);
  {
    Loop loop;
    Ends ends(loop);
    coro::Socket listener = socket_for(loop, Address::self());
    listener->associate(area, size_t{1} << 20, DMA_RECV).bind(Address::self().storage()).listen();
    const auto hold = [&](coro::Socket socket) -> Task<> {
      const sio::Buffer held = co_await socket.recv();
      const sio::Buffer awaited = co_await socket.recv();
      ADD_FAILURE() << "the loop runs no more";
    };
    const auto serve = [&]() -> Task<> {
      loop.spawn(hold(co_await listener.accept()));
      co_await listener.accept();
    };
    loop.spawn(serve());
    const auto run = [&]() -> Task<> {
      coro::Socket socket = socket_for(loop, Address::self());
      co_await socket.connect(listener->name());
      co_await socket.send("held");
      co_await loop.sleep_for(50ms);
      co_await socket.send("awaited");
    };
    loop.run(run());
    // Until the second one is there, and its coroutine would be the next to go on.
    pollfd ready{loop.descriptor(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(kSoon.count()));
    EXPECT_GT(area.stat().posted, 0u);
  }
  EXPECT_EQ(area.stat().received, 0u);
  EXPECT_TRUE(eventually([&] { return area.stat().free == area.size(); }));
}

}  // namespace
}  // namespace sio::test
