// SPDX-License-Identifier: BSD-2-Clause
//
// The page of figures: what is written is what is read, and whatever else is there harms nobody.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>

#include "stat/failure.h"
#include "stat/page_reader.h"
#include "stats/writer.h"

namespace sio_stat {
namespace {

using stats::Entry;
using stats::Header;
using stats::PageWriter;
using stats::SocketFigures;
using stats::State;
using stats::Totals;
using testing::HasSubstr;

OwnFd reopen(int file, int flags = O_RDONLY) {
  return OwnFd(open(("/proc/self/fd/" + std::to_string(file)).c_str(), flags | O_CLOEXEC));
}

SocketFigures figures_of(int fd, uint64_t messages = 0) {
  SocketFigures figures{};
  figures.generation = 7;
  figures.fd = fd;
  figures.type = SOCK_SEQPACKET;
  figures.state = State::kOpen;
  std::strcpy(figures.info.device, "rxe0");
  figures.info.messages_sent = messages;
  figures.info.lookups = messages;  // the last of all
  return figures;
}

// Why it fails; "" if it does not.
std::string failure_of(const std::function<void()>& what) {
  try {
    what();
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

// A file in memory that begins with these bytes.
OwnFd file_of(const void* bytes, size_t n, size_t size) {
  OwnFd file(memfd_create(stats::kPageName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(pwrite(file.get(), bytes, n, 0), static_cast<ssize_t>(n));
  EXPECT_EQ(ftruncate(file.get(), static_cast<off_t>(size)), 0);
  return file;
}

Header good_header() {
  Header header{};
  header.magic = stats::kMagic;
  header.layout = stats::kLayout;
  header.version = 0x000100;
  header.header_bytes = stats::kHeaderBytes;
  header.entry_bytes = sizeof(Entry);
  header.most_sockets = stats::kMostSockets;
  return header;
}

TEST(StatsPage, IsReadAsItWasWritten) {
  PageWriter writer;
  writer.put(0, figures_of(5, 10));
  writer.put(2, figures_of(9, 20));
  Totals totals{};
  totals.passes = 3;
  totals.entries = 4;
  totals.channels = 2;
  writer.put(totals);
  const PageReader reader(reopen(writer.file()));
  EXPECT_EQ(reader.pid(), getpid());
  const Reading reading = reader.read();
  EXPECT_EQ(std::memcmp(&reading.totals, &totals, sizeof totals), 0);
  EXPECT_EQ(reading.unreadable, 0u);
  ASSERT_EQ(reading.sockets.size(), 2u);
  EXPECT_EQ(reading.sockets[0].entry, 0u);
  EXPECT_EQ(reading.sockets[1].entry, 2u);
  const SocketFigures expected = figures_of(9, 20);
  EXPECT_EQ(std::memcmp(&reading.sockets[1].figures, &expected, sizeof expected), 0);
}

TEST(StatsPage, ForgetsASocketThatHasGone) {
  PageWriter writer;
  writer.put(0, figures_of(5));
  Totals totals{};
  totals.entries = 1;
  writer.put(totals);
  writer.clear(0);
  EXPECT_TRUE(PageReader(reopen(writer.file())).read().sockets.empty());
}

TEST(StatsPage, HasRoomForAllThatItPromises) {
  PageWriter writer;
  writer.put(stats::kMostSockets - 1, figures_of(5));
  Totals totals{};
  totals.entries = UINT32_MAX;  // as if it had more
  writer.put(totals);
  const Reading reading = PageReader(reopen(writer.file())).read();
  ASSERT_EQ(reading.sockets.size(), 1u);
  EXPECT_EQ(reading.sockets[0].entry, stats::kMostSockets - 1);
}

TEST(StatsPage, CanNotBeCutOffByAnybody) {
  PageWriter writer;
  const OwnFd file = reopen(writer.file(), O_RDWR);
  EXPECT_EQ(ftruncate(file.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(StatsPage, IsNotReadFromWhatIsNoFileInMemory) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const OwnFd writing(ends[1]);
  EXPECT_THAT(failure_of([&] { PageReader(OwnFd(ends[0])); }), HasSubstr("no file in memory"));
  EXPECT_THAT(failure_of([] { PageReader(OwnFd(open("/dev/zero", O_RDONLY | O_CLOEXEC))); }),
              HasSubstr("no file in memory"));
  EXPECT_THAT(failure_of([] { PageReader{OwnFd()}; }), HasSubstr("no file in memory"));
}

TEST(StatsPage, OfAnotherVersionIsTold) {
  Header header = good_header();
  header.layout = stats::kLayout + 1;
  header.version = 0x091203;
  EXPECT_THAT(failure_of([&] { PageReader(file_of(&header, sizeof header, stats::kPageBytes)); }),
              HasSubstr("they are of libsio 9.18.3, and this sio_stat is of "));
}

TEST(StatsPage, WithOtherSizesIsRefused) {
  for (uint32_t Header::*const field :
       {&Header::header_bytes, &Header::entry_bytes, &Header::most_sockets}) {
    Header header = good_header();
    ++(header.*field);
    EXPECT_THAT(failure_of([&] { PageReader(file_of(&header, sizeof header, stats::kPageBytes)); }),
                HasSubstr("sizes"));
  }
}

TEST(StatsPage, ThatIsCutOffIsTold) {
  Header header = good_header();
  header.totals.value.entries = 2;
  for (const size_t size : {size_t{0}, size_t{8}, sizeof(Header) - 1}) {
    EXPECT_THAT(failure_of([&] { PageReader(file_of(&header, sizeof header, size)); }),
                HasSubstr("cut off"))
        << size;
  }
  for (const size_t size : {sizeof(Header), stats::place_of(1), stats::place_of(1) + 8}) {
    const PageReader reader(file_of(&header, sizeof header, size));
    EXPECT_THAT(failure_of([&] { reader.read(); }), HasSubstr("cut off")) << size;
  }
  // Also under one who reads.
  const OwnFd file = file_of(&header, sizeof header, stats::place_of(2));
  const PageReader reader(reopen(file.get()));
  EXPECT_EQ(failure_of([&] { reader.read(); }), "");
  ASSERT_EQ(ftruncate(file.get(), 0), 0);
  EXPECT_THAT(failure_of([&] { reader.read(); }), HasSubstr("cut off"));
}

TEST(StatsPage, OfGarbageHarmsNobody) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> bytes(stats::place_of(20) / 8);
  for (int i = 0; i < 200; ++i) {
    for (uint64_t& word : bytes) word = random();
    const auto read = [&] {
      Reading reading;
      PageReader reader(file_of(bytes.data(), bytes.size() * 8, bytes.size() * 8));
      reading = reader.read();
      for (const Socket& socket : reading.sockets)
        EXPECT_LT(std::strlen(socket.figures.info.device), sizeof socket.figures.info.device);
    };
    EXPECT_NE(failure_of(read), "");
    // What lies behind a good header.
    Header header = good_header();
    header.totals.value.entries = 20;
    std::memcpy(bytes.data(), &header, sizeof header);
    for (uint32_t entry = 0; entry < 20; ++entry) bytes[stats::place_of(entry) / 8] &= ~1ull;
    EXPECT_EQ(failure_of(read), "");
  }
}

TEST(StatsPage, ThatIsNeverAtRestIsGivenUp) {
  const auto start = std::chrono::steady_clock::now();
  struct {
    Header header = good_header();
    std::byte rest[stats::kHeaderBytes - sizeof(Header)]{};
    Entry entries[1000]{};
  } page;
  page.header.totals.value.entries = 1000;
  for (Entry& entry : page.entries) entry.sequence = 1;
  page.entries[1].sequence = 2;
  page.entries[1].value = figures_of(5);
  const Reading reading = PageReader(file_of(&page, sizeof page, sizeof page)).read();
  EXPECT_EQ(reading.unreadable, 999u);
  EXPECT_EQ(reading.sockets.size(), 1u);
  page.header.totals.sequence = 1;
  const PageReader reader(file_of(&page, sizeof page, sizeof page));
  EXPECT_THAT(failure_of([&] { reader.read(); }), HasSubstr("all the time"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(StatsPage, HasNoTextThatATerminalWouldObey) {
  PageWriter writer;
  SocketFigures figures = figures_of(5);
  std::strcpy(figures.info.device, "\033[2Jrx\xff");
  std::memset(figures.info.gid, 'g', sizeof figures.info.gid);
  writer.put(0, figures);
  figures.state = static_cast<State>(99);
  writer.put(1, figures);
  Totals totals{};
  totals.entries = 2;
  writer.put(totals);
  const Reading reading = PageReader(reopen(writer.file())).read();
  EXPECT_EQ(reading.unreadable, 1u);
  ASSERT_EQ(reading.sockets.size(), 1u);
  EXPECT_STREQ(reading.sockets[0].figures.info.device, "?[2Jrx?");
  EXPECT_EQ(std::strlen(reading.sockets[0].figures.info.gid), sizeof figures.info.gid - 1);
}

TEST(StatsPage, IsNeverSeenHalfWritten) {
  PageWriter writer;
  writer.put(0, figures_of(5));
  Totals totals{};
  totals.entries = 1;
  writer.put(totals);
  std::atomic<bool> done{false};
  std::thread writing([&] {
    for (uint64_t i = 1; !done; ++i) {
      writer.put(0, figures_of(5, i));
      std::this_thread::sleep_for(std::chrono::microseconds(i % 8));
    }
  });
  const PageReader reader(reopen(writer.file()));
  uint64_t last = 0;
  uint64_t changes = 0;
  for (int i = 0; i < 20'000 || changes < 100; ++i) {
    const Reading reading = reader.read();
    if (reading.unreadable > 0) continue;
    const sio_info& info = reading.sockets.at(0).figures.info;
    ASSERT_EQ(info.messages_sent, info.lookups);
    ASSERT_GE(info.messages_sent, last);
    changes += info.messages_sent != last ? 1 : 0;
    last = info.messages_sent;
  }
  done = true;
  writing.join();
}

}  // namespace
}  // namespace sio_stat
