// SPDX-License-Identifier: BSD-2-Clause
//
// Every call of <sio/dma.h> with wrong handles, sizes, states and NULLs.
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "conformance/fixtures.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using MisuseOfMemory = DeviceTest;

constexpr size_t kBytes = 65536;

dma_mem_t garbage_handle() { return reinterpret_cast<dma_mem_t>(uintptr_t{0x1234567}); }

TEST_F(MisuseOfMemory, Alloc) {
  dma_mem_t handle;
  expect_errors({
      {"NULL", [&] { return dma_alloc(nullptr, kBytes, 0); }, EINVAL},
      {"no bytes", [&] { return dma_alloc(&handle, 0, 0); }, EINVAL},
      {"an unknown flag", [&] { return dma_alloc(&handle, kBytes, 1); }, EINVAL},
      {"all flags", [&] { return dma_alloc(&handle, kBytes, ~0u); }, EINVAL},
      {"more than there is", [&] { return dma_alloc(&handle, size_t{1} << 50, 0); }, ENOMEM},
      {"SIZE_MAX", [&] { return dma_alloc(&handle, SIZE_MAX, 0); }, ENOMEM},
  });
}

TEST_F(MisuseOfMemory, AllocOfTooManyAreas) {
  std::vector<dma_mem_t> handles;
  dma_mem_t handle;
  while (dma_alloc(&handle, 4096, 0) == 0) handles.push_back(handle);
  EXPECT_EQ(errno, EMFILE);
  EXPECT_LE(handles.size(), 1024u);
  EXPECT_GT(handles.size(), 1000u);  // sockets that still close may have some
  for (const dma_mem_t one : handles) EXPECT_EQ(dma_free(one, 4096), 0);
  EXPECT_EQ(dma_alloc(&handle, 4096, 0), 0);
  EXPECT_EQ(dma_free(handle, 4096), 0);
}

TEST_F(MisuseOfMemory, Free) {
  const Area area(kBytes);
  dma_mem_t stale;
  must(dma_alloc(&stale, kBytes, 0), "dma_alloc");
  must(dma_free(stale, kBytes), "dma_free");
  const auto handle = area.get();
  expect_errors({
      {"NULL", [] { return dma_free(nullptr, kBytes); }, EINVAL},
      {"garbage", [] { return dma_free(garbage_handle(), kBytes); }, EINVAL},
      {"a stale handle", [&] { return dma_free(stale, kBytes); }, EINVAL},
      {"too few bytes", [&] { return dma_free(handle, kBytes - 4096); }, EINVAL},
      {"too many bytes", [&] { return dma_free(handle, kBytes + 4096); }, EINVAL},
      {"no bytes", [&] { return dma_free(handle, 0); }, EINVAL},
  });
  const Message block = Message::reserve(area, 1);
  expect_errors({{"a reserved block", [&] { return dma_free(handle, kBytes); }, EBUSY}});
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND);
  expect_errors({{"associated", [&] { return dma_free(handle, kBytes); }, EBUSY}});
}

TEST_F(MisuseOfMemory, FreeWhileMessagesAreReceivedOrInFlight) {
  Area area(size_t{1} << 20);
  const auto handle = area.get();
  const auto try_free = [&] { return dma_free(handle, area.bytes()); };
  Message received;
  {
    Socket listener = Socket::make();
    listener.bind(Address::self()).listen();
    Socket near = Socket::make(SOCK_NONBLOCK);
    near.associate(area);
    EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
    Socket far = listener.accept();
    far.send("received");
    expect_errors({{"posted", try_free, EBUSY}});
    must(sio_nonblock(near.get(), 0), "sio_nonblock");
    received = near.receive();
  }
  expect_errors({{"received", try_free, EBUSY}});
}

TEST_F(MisuseOfMemory, Stat) {
  const Area area(kBytes);
  Accounts stat;
  expect_errors({
      {"NULL area", [&] { return ::dma_stat(nullptr, &stat); }, EINVAL},
      {"garbage", [&] { return ::dma_stat(garbage_handle(), &stat); }, EINVAL},
      {"NULL stat", [&] { return ::dma_stat(area.get(), nullptr); }, EINVAL},
  });
  EXPECT_EQ(accounts(area.get()).size, kBytes);
  EXPECT_EQ(accounts(area.get()).free, kBytes);
  EXPECT_NE(accounts(area.get()).base, nullptr);
}

TEST_F(MisuseOfMemory, Reserve) {
  const Area area(kBytes);
  void* block;
  expect_errors({
      {"NULL area", [&] { return sio_reserve(nullptr, &block, 1); }, EINVAL},
      {"garbage", [&] { return sio_reserve(garbage_handle(), &block, 1); }, EINVAL},
      {"NULL pointer", [&] { return sio_reserve(area.get(), nullptr, 1); }, EINVAL},
      {"no bytes", [&] { return sio_reserve(area.get(), &block, 0); }, EINVAL},
      {"more than the area", [&] { return sio_reserve(area.get(), &block, kBytes + 1); }, EMSGSIZE},
      {"SIZE_MAX", [&] { return sio_reserve(area.get(), &block, SIZE_MAX); }, EMSGSIZE},
  });
  const Message all = Message::reserve(area, kBytes);
  expect_errors({{"all taken", [&] { return sio_reserve(area.get(), &block, 1); }, ENOBUFS}});
}

TEST_F(MisuseOfMemory, ReserveGivesWhatIsSaidToBeTheLargest) {
  const Area area(kBytes);
  const Message first = Message::reserve(area, 100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.data()) % 64, 0u);
  const size_t largest = accounts(area.get()).largest_free;
  void* block;
  expect_errors({{"more", [&] { return sio_reserve(area.get(), &block, largest + 1); }, ENOBUFS}});
  const Message rest = Message::reserve(area, largest);
  EXPECT_TRUE(rest);
}

TEST_F(MisuseOfMemory, Release) {
  const Area area(kBytes);
  const Area other(kBytes);
  Message block = Message::reserve(area, 1000);
  char* const data = block.data();
  std::vector<char> plain(1000);
  expect_errors({
      {"NULL", [&] { return sio_release(area.get(), nullptr, 1000); }, EINVAL},
      {"NULL of no area", [&] { return sio_release(nullptr, nullptr, 0); }, EINVAL},
      {"garbage area", [&] { return sio_release(garbage_handle(), data, 1000); }, EINVAL},
      {"another area", [&] { return sio_release(other.get(), data, 1000); }, EINVAL},
      {"plain memory", [&] { return sio_release(nullptr, plain.data(), 1000); }, EINVAL},
      {"too short", [&] { return sio_release(area.get(), data, 999); }, EINVAL},
      {"too long", [&] { return sio_release(area.get(), data, 1001); }, EINVAL},
      {"no bytes", [&] { return sio_release(area.get(), data, 0); }, EINVAL},
      {"its inside", [&] { return sio_release(area.get(), data + 64, 936); }, EINVAL},
      {"before it", [&] { return sio_release(area.get(), data - 64, 1064); }, EINVAL},
      {"free memory", [&] { return sio_release(area.get(), data + 32768, 64); }, EINVAL},
  });
  must(sio_release(area.get(), block.give_up(), 1000), "sio_release");
  expect_errors({{"twice", [&] { return sio_release(area.get(), data, 1000); }, EINVAL}});
}

TEST_F(MisuseOfMemory, ReleaseOfReceiveMemory) {
  Area area(size_t{1} << 20);
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  EXPECT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  auto* const base = static_cast<char*>(accounts(area.get()).base);
  for (size_t at = 0; at < area.bytes(); at += 4096) {
    EXPECT_EQ(sio_release(area.get(), base + at, 8192), -1) << "posted, at " << at;
    EXPECT_EQ(errno, EINVAL);
  }
  far.send("exactly this");
  must(sio_nonblock(near.get(), 0), "sio_nonblock");
  Message message = near.receive();
  char* const data = message.data();
  expect_errors({
      {"too long", [&] { return sio_release(nullptr, data, 13); }, EINVAL},
      {"too short", [&] { return sio_release(nullptr, data, 11); }, EINVAL},
      {"its inside", [&] { return sio_release(nullptr, data + 8, 4); }, EINVAL},
  });
  EXPECT_EQ(sio_release(nullptr, message.give_up(), 12), 0);
  expect_errors({{"twice", [&] { return sio_release(nullptr, data, 12); }, EINVAL}});
}

// --------------------------------------------------------------------------------- association

TEST_F(MisuseOfMemory, Assoc) {
  const Area area(kBytes);
  Socket fresh = Socket::make();
  const int fd = fresh.get();
  const auto handle = area.get();
  expect_errors({
      {"no socket", [&] { return dma_assoc(-1, handle, kBytes, 0); }, EBADF},
      {"a plain descriptor", [&] { return dma_assoc(0, handle, kBytes, 0); }, EBADF},
      {"NULL", [&] { return dma_assoc(fd, nullptr, kBytes, 0); }, EINVAL},
      {"garbage", [&] { return dma_assoc(fd, garbage_handle(), kBytes, 0); }, EINVAL},
      {"an unknown flag", [&] { return dma_assoc(fd, handle, kBytes, 8); }, EINVAL},
      {"more than the area", [&] { return dma_assoc(fd, handle, kBytes + 1, 0); }, EINVAL},
      {"no 6 slots", [&] { return dma_assoc(fd, handle, 6 * 8192 - 1, DMA_RECV); }, EINVAL},
      {"no bytes", [&] { return dma_assoc(fd, handle, 0, DMA_RECV); }, EINVAL},
  });
  Message in_the_middle = Message::reserve(area, 64);
  expect_errors({{"no room", [&] { return dma_assoc(fd, handle, kBytes, 0); }, ENOBUFS}});
  in_the_middle = Message();
  must(dma_assoc(fd, handle, 6 * 8192, DMA_RECV), "dma_assoc");
  expect_errors({{"twice", [&] { return dma_assoc(fd, handle, 6 * 8192, DMA_RECV); }, EBUSY}});
}

// What the errno alone leaves open.
TEST_F(MisuseOfMemory, SaysInTheLogWhatIsTooSmallAndTooLarge) {
  std::string log;
  sio_set_log([](int, const char* line,
                 void* arg) { static_cast<std::string*>(arg)->append(line).append("\n"); },
              SIO_LOG_DEBUG, &log);
  const Area area(kBytes);
  const Pair pair = make_pair();
  const Socket fresh = Socket::make();
  const std::string elsewhere(2000, 'x');
  std::vector<iovec> pieces(2, {const_cast<char*>(elsewhere.data()), 700});
  const msghdr message{nullptr, 0, pieces.data(), pieces.size(), nullptr, 0, 0};
  expect_errors({
      {"no 6 slots", [&] { return dma_assoc(fresh.get(), area.get(), 40'000, 0); }, EINVAL},
      {"no area", [&] { return dma_assoc(fresh.get(), area.get(), kBytes + 1, 0); }, EINVAL},
      {"send", [&] { return sio_send(pair.near.get(), elsewhere.data(), 2000, 0); }, EFAULT},
      {"sendmsg", [&] { return sio_sendmsg(pair.near.get(), &message, sizeof message, 0); },
       EFAULT},
  });
  sio_set_log(nullptr, SIO_LOG_WARN, nullptr);
  for (const std::string line : {
           "40000 bytes of receive memory are less than 2 slots and the 4 of the control frames "
           "take, of 8192 bytes each: 49152",
           "bytes are more than the area has, which is ",
           "2000 bytes that lie in no associated area; SIO_COPY_MAX is 1024",
           "1400 bytes that lie in no associated area; SIO_COPY_MAX is 1024",
       }) {
    EXPECT_NE(log.find(line), std::string::npos) << line << "\n\nis not in\n\n" << log;
  }
}

TEST_F(MisuseOfMemory, AssocOfNineAreas) {
  std::vector<Area> areas;
  Socket socket = Socket::make();
  for (int i = 0; i < 8; ++i) {
    areas.emplace_back(4096);
    socket.associate(areas.back(), DMA_SEND);
  }
  areas.emplace_back(4096);
  const auto ninth = areas.back().get();
  expect_errors(
      {{"the ninth", [&] { return dma_assoc(socket.get(), ninth, 4096, DMA_SEND); }, EBUSY}});
}

TEST_F(MisuseOfMemory, AssocTooLate) {
  const Area area(kBytes);
  const auto assoc = [&](int fd) { return dma_assoc(fd, area.get(), kBytes, DMA_SEND); };
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket connecting = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(connecting.try_connect(listener.name()), EINPROGRESS);
  Pair pair = make_pair();
  expect_errors({
      {"listening", [&] { return assoc(listener.get()); }, EISCONN},
      {"connecting", [&] { return assoc(connecting.get()); }, EISCONN},
      {"connected", [&] { return assoc(pair.near.get()); }, EISCONN},
      {"accepted", [&] { return assoc(pair.far.get()); }, EISCONN},
  });
  const int closed = pair.near.get();
  pair.near.close();
  expect_errors({{"closed", [&] { return assoc(closed); }, EBADF}});
  EXPECT_FALSE(pair.far.receive());
  expect_errors({{"ended", [&] { return assoc(pair.far.get()); }, EISCONN}});
}

TEST_F(MisuseOfMemory, Disassoc) {
  const Area area(kBytes);
  const Area other(kBytes);
  Socket socket = Socket::make();
  socket.associate(area);
  const int fd = socket.get();
  expect_errors({
      {"no socket", [&] { return dma_disassoc(-1, area.get(), kBytes); }, EBADF},
      {"NULL", [&] { return dma_disassoc(fd, nullptr, kBytes); }, EINVAL},
      {"another area", [&] { return dma_disassoc(fd, other.get(), kBytes); }, EINVAL},
      {"another size", [&] { return dma_disassoc(fd, area.get(), kBytes - 4096); }, EINVAL},
  });
  must(dma_disassoc(fd, area.get(), kBytes), "dma_disassoc");
  expect_errors({{"twice", [&] { return dma_disassoc(fd, area.get(), kBytes); }, EINVAL}});
  EXPECT_EQ(accounts(area.get()).free, kBytes);
  socket.associate(area).bind(Address::self()).listen();
  expect_errors({{"listening", [&] { return dma_disassoc(fd, area.get(), kBytes); }, EBUSY}});
}

}  // namespace
}  // namespace sio::test
