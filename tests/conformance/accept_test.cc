// SPDX-License-Identifier: BSD-2-Clause
//
// Listening, the backlog, and accepting, also into other channels.
#include <netinet/in.h>

#include <cerrno>
#include <set>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class WireAccept : public WireTest {
 protected:
  // A behaviour that connects to `listener`.
  static Peer dial(const Socket& listener, const std::string& what) {
    return Peer(what + to(listener));
  }
  static Socket listen(int backlog = 64, const Channel* channel = nullptr, int flags = 0) {
    Socket listener = Socket::make(flags);
    if (channel != nullptr) listener.join(*channel);
    listener.bind(Address::self()).listen(backlog);
    return listener;
  }
};

// How many of `sockets` have got through, been refused, or wait.
struct Outcome {
  int connected = 0;
  int refused = 0;
  int waiting = 0;
};
Outcome outcome_of(const std::vector<Socket>& sockets) {
  Outcome outcome;
  for (const Socket& socket : sockets) {
    const uint32_t ready = socket.ready();
    ++((ready & EPOLLERR) != 0   ? outcome.refused
       : (ready & EPOLLOUT) != 0 ? outcome.connected
                                 : outcome.waiting);
  }
  return outcome;
}

TEST_F(WireAccept, RefusesWhatTheBacklogHasNoRoomFor) {
  Peer peer("mute backlog=3");
  std::vector<Socket> sockets;
  for (int i = 0; i < 8; ++i) {
    sockets.push_back(Socket::make(SOCK_NONBLOCK));
    EXPECT_EQ(sockets.back().try_connect(peer.address()), EINPROGRESS);
  }
  EXPECT_TRUE(eventually([&] { return outcome_of(sockets).refused == 5; }));
  EXPECT_EQ(outcome_of(sockets).connected, 0);
  for (Socket& socket : sockets) {
    const int error = socket.take_error();
    EXPECT_TRUE(error == 0 || error == ECONNREFUSED) << error;
  }
  Socket blocking = Socket::make();
  EXPECT_EQ(blocking.try_connect(peer.address()), ECONNREFUSED);
  for (int i = 0; i < 3; ++i) {
    peer.say("accept");
    peer.expect("accepted");
  }
  EXPECT_TRUE(eventually([&] { return outcome_of(sockets).connected == 3; }));
  // And there is room again.
  Socket late = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(late.try_connect(peer.address()), EINPROGRESS);
  peer.say("accept");
  peer.expect("accepted");
  EXPECT_TRUE(eventually([&] { return (late.ready() & EPOLLOUT) != 0; }));
}

// Whoever ends first leaves something of a TCP connection behind; that is in nobody's way.
TEST_F(WireAccept, OnTheSamePortAgainWorksAtOnce) {
  Address name = Address::self();
  for (int round = 0; round < 3; ++round) {
    Socket listener = Socket::make();
    listener.bind(name).listen();
    name = listener.name();
    Peer peer = dial(listener, "dial");
    Socket accepted = listener.accept();
    accepted.close();
    listener.close();
  }
}

TEST_F(WireAccept, RefusesThoseThatWaitWhenTheListenerIsClosed) {
  Peer peer("mute");
  std::vector<Socket> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(Socket::make(SOCK_NONBLOCK));
    EXPECT_EQ(sockets.back().try_connect(peer.address()), EINPROGRESS);
  }
  peer.say("accept");
  peer.expect("accepted");
  peer.say("close");
  peer.expect("closed");
  EXPECT_TRUE(eventually([&] { return outcome_of(sockets).waiting == 0; }));
  EXPECT_EQ(outcome_of(sockets).connected, 1);
  for (Socket& socket : sockets) {
    const int error = socket.take_error();
    EXPECT_TRUE(error == 0 || error == ECONNREFUSED) << error;
  }
}

TEST_F(WireAccept, TellsOfEachConnectionThatWaits) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  EXPECT_EQ(sio_accept(listener.get(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
  std::vector<Peer> peers;
  std::set<std::string> names;
  std::vector<Socket> sockets;
  for (int i = 0; i < 3; ++i) peers.push_back(dial(listener, "dial"));
  for (int i = 0; i < 3; ++i) {
    const event_data_t event = channel.expect(EC_ACCEPT);
    EXPECT_EQ(event.fd, listener.get());
    sockets.push_back(listener.accept());
    names.insert(sockets.back().peer_name().whole());
  }
  EXPECT_EQ(names.size(), 3u);
  EXPECT_EQ(sio_accept(listener.get(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(WireAccept, GivesThePeersAddress) {
  Socket listener = listen();
  Peer peer = dial(listener, "dial");
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  const Socket socket(sio_accept(listener.get(), reinterpret_cast<sockaddr*>(&name), &size));
  ASSERT_GE(socket.get(), 0);
  EXPECT_EQ(size, Address::self().size());
  EXPECT_EQ(Address(socket.get(), sio_getpeername).port(),
            ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port));
  EXPECT_EQ(socket.name(), listener.name());
}

TEST_F(WireAccept, BlocksUntilSomebodyComes) {
  Socket listener = listen();
  std::optional<Peer> peer;
  std::thread late([&] { peer.emplace(dial(listener, "dial")); });
  const Socket socket = listener.accept();
  late.join();
  EXPECT_GE(socket.get(), 0);
  {
    const Interrupter interrupter;
    EXPECT_EQ(sio_accept(listener.get(), nullptr, nullptr), -1);
    EXPECT_EQ(errno, EINTR);
  }
}

TEST_F(WireAccept, MayQueueDataAtOnce) {
  Socket listener = listen();
  Peer peer = dial(listener, "dial then=drain");
  Socket socket = listener.accept();
  for (int i = 0; i < 50; ++i) socket.send("before the peer knows");
  EXPECT_EQ(socket.close(), 0);
  peer.expect("connecting");
  peer.expect("connected");
  EXPECT_EQ(peer.expect_number("done"), 50u);
}

TEST_F(WireAccept, HandsConnectionsToFourChannels) {
  constexpr int kConnections = 8;
  constexpr int kMessages = 200;
  const Channel front;
  Socket listener = listen(64, &front);
  Channel workers[4];
  std::vector<Peer> peers;
  std::vector<Socket> sockets;
  for (int i = 0; i < kConnections; ++i) {
    peers.push_back(dial(listener, "source lend=mixed count=" + std::to_string(kMessages)));
    front.expect(EC_ACCEPT);
    auto* cookie = reinterpret_cast<void*>(static_cast<uintptr_t>(i + 1));
    sockets.push_back(listener.accept(workers[i % 4], cookie, SOCK_NONBLOCK));
  }
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&, worker] {
      std::vector<Inflow> in(kConnections, Inflow(Pattern(1), kMessages));
      for (int left = 2 * kMessages; left > 0; --left) {
        const event_data_t event = workers[worker].skip_to(EC_RECV);
        const auto i = reinterpret_cast<uintptr_t>(event.cookie) - 1;
        EXPECT_EQ(i % 4, static_cast<uintptr_t>(worker));
        EXPECT_EQ(event.fd, sockets[i].get());
        in[i].take(Message(event));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(front.try_next(milliseconds(0)));
}

TEST_F(WireAccept, InheritsTheListenersOptionsChannelAndCookie) {
  const Channel channel;
  Area area(size_t{1} << 20);
  int cookie = 0;
  Socket listener = Socket::make();
  listener.set(SIO_RECV_SLOTS, 8).set(SIO_SLOT_SIZE, 1024).set(SIO_COPY_MAX, 77).set_linger(9);
  listener.join(channel, EC_DELIVER, &cookie).associate(area, 0, size_t{12} * 1024);
  listener.bind(Address::self()).listen();
  Peer peer = dial(listener, "source size=10 count=1");
  EXPECT_EQ(channel.expect(EC_ACCEPT).cookie, &cookie);
  Socket socket = listener.accept();
  const event_data_t event = channel.expect(EC_RECV);
  EXPECT_EQ(event.cookie, &cookie);
  EXPECT_EQ(event.fd, socket.get());
  EXPECT_EQ(event.data.mem, area.get());
  Message taken(event);
  EXPECT_EQ(socket.get_option<int>(SIO_COPY_MAX), 77);
  EXPECT_EQ(socket.info().recv_slots, 8u);
  EXPECT_EQ(socket.info().slot_size, 1024u);
  EXPECT_EQ(socket.sio::Socket::get<linger>(SO_LINGER, SOL_SOCKET).l_linger, 9);
}

TEST_F(WireAccept, LeavesTheConnectionWaitingWhenThereIsNoMemoryForIt) {
  const size_t receive_memory = size_t{12} * 1024;
  Area area(receive_memory);
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.set(SIO_RECV_SLOTS, 8).set(SIO_SLOT_SIZE, 1024).associate(area, 0, receive_memory);
  listener.bind(Address::self()).listen();
  Message block = Message::reserve(area, 64);  // one line of it is taken
  Peer peer = dial(listener, "dial");
  int error = EAGAIN;
  EXPECT_TRUE(eventually([&] {
    error = sio_accept(listener.get(), nullptr, nullptr) < 0 ? errno : 0;
    return error != EAGAIN;
  }));
  EXPECT_EQ(error, ENOBUFS);
  block = Message();
  const Socket socket = listener.accept();
  EXPECT_GE(socket.get(), 0);
  peer.expect("connecting");
  peer.expect("connected");
}

// An area that has room for one connection at a time, three that want to come in, and a program
// that calls sio_accept once for each event and never else.
TEST_F(WireAccept, IsAskedForAgainWhenThereWasNoMemory) {
  const size_t receive_memory = size_t{12} * 1024;
  const Area area(receive_memory);
  const Channel channel;
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.set(SIO_RECV_SLOTS, 8).set(SIO_SLOT_SIZE, 1024).associate(area, 0, receive_memory);
  listener.join(channel).bind(Address::self()).listen();
  constexpr int kPeers = 3;
  std::vector<Peer> peers;
  for (int i = 0; i < kPeers; ++i) peers.push_back(dial(listener, "dial"));
  Socket guest;
  int guests = 0, refusals = 0;
  while (guests < kPeers) {
    EXPECT_EQ(channel.skip_to(EC_ACCEPT).fd, listener.get());
    const int fd = sio_accept(listener.get(), nullptr, nullptr);
    if (fd >= 0) {
      guest = Socket(fd);
      ++guests;
      continue;
    }
    ASSERT_EQ(errno, ENOBUFS);
    if (++refusals % 4 == 0) guest.close();
  }
  EXPECT_GE(refusals, 8);
}

// Those that waited behind the first one are told of as soon as that has been accepted.
TEST_F(WireAccept, IsAskedForAgainOnceForEachThatWaits) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  constexpr int kPeers = 3;
  std::vector<Peer> peers;
  for (int i = 0; i < kPeers; ++i) peers.push_back(dial(listener, "dial"));
  const auto accept = [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  for (int i = 0; i < kPeers; ++i) channel.expect(EC_ACCEPT);
  {
    const NoDescriptorsLeft none;
    for (int i = 0; i < kPeers; ++i) expect_errors({{"accept", accept, EMFILE}});
  }
  std::vector<Socket> guests;
  for (int i = 0; i < kPeers; ++i) {
    channel.skip_to(EC_ACCEPT);
    guests.emplace_back(must(accept(), "sio_accept"));
  }
  for (Socket& guest : guests) guest.close();
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
}

// Who does not take the events of a ring that others need, too.
TEST_F(WireAccept, IsNotAskedForAgainWhileAnEventSaysSo) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  const Peer peer = dial(listener, "dial");
  ASSERT_TRUE(channel.wait(kSoon));
  const auto accept = [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  for (const int pause : {20, 40, 80}) {  // until it would be asked again
    const NoDescriptorsLeft none;
    expect_errors({{"accept", accept, EMFILE}});
    std::this_thread::sleep_for(milliseconds(4 * pause));
  }
  channel.expect(EC_ACCEPT);
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
  const Socket guest(must(accept(), "sio_accept"));
}

// Refusals count by the pauses that they bring, not by the calls: many events may be of one peer.
TEST_F(WireAccept, IsAskedForAgainSoonHoweverOftenItWasRefusedAtOnce) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  const Peer peer = dial(listener, "dial");
  channel.expect(EC_ACCEPT);
  const auto accept = [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  const NoDescriptorsLeft none;
  for (int i = 0; i < 12; ++i) expect_errors({{"accept", accept, EMFILE}});
  channel.expect(EC_ACCEPT);
  expect_errors({{"accept", accept, EMFILE}});
  const auto start = std::chrono::steady_clock::now();
  channel.expect(EC_ACCEPT);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(400));  // 40, or 640
}

TEST_F(WireAccept, IsAskedForANewcomerSoonHoweverLongAnotherHadToWait) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  const auto accept = [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  const auto refuse = [&] {
    channel.expect(EC_ACCEPT);
    const NoDescriptorsLeft none;
    expect_errors({{"accept", accept, EMFILE}});
  };
  const Peer peer = dial(listener, "dial");
  for (int i = 0; i < 5; ++i) refuse();  // it waits 20 to 320 ms after each
  const Peer newcomer = dial(listener, "dial");
  channel.expect(EC_ACCEPT);
  refuse();  // still the first, for 640 ms
  const Socket guest(must(accept(), "sio_accept"));
  refuse();  // the newcomer
  const auto start = std::chrono::steady_clock::now();
  channel.expect(EC_ACCEPT);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(300));  // 20, or 640
}

TEST_F(WireAccept, LeavesTheConnectionWaitingWhenThereIsNoDescriptorForIt) {
  const Channel channel;
  Socket listener = listen(64, &channel);
  Peer peer = dial(listener, "dial");
  channel.expect(EC_ACCEPT);
  {
    const NoDescriptorsLeft none;
    expect_errors(
        {{"accept", [&] { return sio_accept(listener.get(), nullptr, nullptr); }, EMFILE}});
  }
  const Socket socket = listener.accept();
  EXPECT_GE(socket.get(), 0);
}

TEST_F(WireAccept, NeverShowsAPeerThatGaveUp) {
  Socket listener = listen(64, nullptr, SOCK_NONBLOCK);
  Peer impatient = dial(listener, "dial timeout=50");
  impatient.expect("connecting");
  EXPECT_EQ(impatient.expect_number("failed"), static_cast<uint64_t>(ETIMEDOUT));
  // Its giving up may be on its way; what was accepted none the less fails at once.
  const int fd = sio_accept(listener.get(), nullptr, nullptr);
  if (fd < 0) {
    EXPECT_EQ(errno, EAGAIN);
    return;
  }
  Socket socket(fd);
  void* data;
  EXPECT_EQ(sio_recv(socket.get(), &data, SIZE_MAX, 0), -1);
  EXPECT_TRUE(errno == ECONNRESET || errno == ECONNABORTED || errno == ETIMEDOUT) << errno;
}

// It was refused before it gave up; the call that finds so takes the next.
TEST_F(WireAccept, TellsOfNobodyWhomTheSameCallTook) {
  const Channel channel;
  Socket listener = listen(64, &channel, SOCK_NONBLOCK);
  const auto accept = [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  Peer impatient = dial(listener, "dial timeout=1000");
  impatient.expect("connecting");
  channel.expect(EC_ACCEPT);
  Peer patient = dial(listener, "dial");
  channel.expect(EC_ACCEPT);
  {
    const NoDescriptorsLeft none;
    for (int i = 0; i < 2; ++i) expect_errors({{"accept", accept, EMFILE}});
  }
  channel.expect(EC_ACCEPT);
  EXPECT_EQ(impatient.expect_number("failed"), static_cast<uint64_t>(ETIMEDOUT));
  std::this_thread::sleep_for(milliseconds(200));  // its giving up is on its way
  const Socket guest(must(accept(), "sio_accept"));
  const bool told = channel.try_next(milliseconds(100)).has_value();
  const int other = accept();
  if (other >= 0) {
    const Socket gone(other);
    GTEST_SKIP() << "who had given up was accepted all the same";
  }
  EXPECT_FALSE(told);
}

}  // namespace
}  // namespace sio::test
