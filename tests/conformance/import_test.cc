// SPDX-License-Identifier: BSD-2-Clause
//
// Areas of memory that is not the library's, and on huge pages.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

constexpr size_t kImported = size_t{1} << 20;

// A file in memory, and a mapping of it.
class Mapped {
 public:
  explicit Mapped(int protection = PROT_READ | PROT_WRITE)
      : file_(must(memfd_create("sio-test", MFD_CLOEXEC), "memfd_create")) {
    must(ftruncate(file_.get(), kImported), "ftruncate");
    at_ = mmap(nullptr, kImported, protection, MAP_SHARED, file_.get(), 0);
    if (at_ == MAP_FAILED) fail("mmap: %s", std::strerror(errno));
  }
  ~Mapped() { munmap(at_, kImported); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  char* at() const { return static_cast<char*>(at_); }
  int file() const { return file_.get(); }
  void write(size_t offset, std::string_view text) {
    EXPECT_EQ(pwrite(file_.get(), text.data(), text.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(text.size()));
  }

 private:
  Fd file_;
  void* at_ = nullptr;
};

// What the rest of these tests and dma_free know it by.
Area import(const Mapped& memory, unsigned flags = 0) {
  dma_mem_t handle = nullptr;
  must(dma_import(&handle, memory.at(), kImported, flags), "dma_import");
  return Area(handle, kImported);
}

class WireImport : public WireTest {
 protected:
  // A connection to a peer that sends everything back.
  static Socket connect_to(Peer& peer, const Channel& channel, const Area& area, unsigned flags) {
    Socket socket = Socket::make();
    socket.join(channel).associate(area, flags).connect(peer.address());
    return socket;
  }
};

TEST_F(WireImport, KeepsWhatTheMemoryHoldsAndSendsIt) {
  Peer peer("echo");
  Mapped memory;
  memory.write(100'000, "from the file");
  const Area area = import(memory);
  EXPECT_EQ(accounts(area.get()).base, memory.at());
  EXPECT_EQ(accounts(area.get()).size, kImported);
  const Channel channel;  // goes before the area: with it go the events that nobody takes
  Socket socket = connect_to(peer, channel, area, DMA_SEND);
  Message all = Message::reserve(area, kImported);
  EXPECT_EQ(all.data(), memory.at());
  for (int i = 0; i < 3; ++i) {
    must(sio_send(socket.get(), memory.at() + 100'000, 13, 0), "sio_send");
    EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), "from the file");
  }
  socket.flush();
  EXPECT_EQ(accounts(area.get()).in_flight, 0u);
}

TEST_F(WireImport, IsReceivedInto) {
  Peer peer("echo");
  const Mapped memory;
  const Area area = import(memory);
  const Channel channel;
  Socket socket = Socket::make();
  must(dma_assoc(socket.get(), area.get(), kImported - 65536, 0), "dma_assoc");
  socket.join(channel).connect(peer.address());
  const Message sent = Message::reserve(area, 300);
  std::memset(sent.data(), 'x', 300);
  must(sio_send(socket.get(), sent.data(), 300, 0), "sio_send");
  const Message back(channel.skip_to(EC_RECV));
  EXPECT_GE(back.data(), memory.at());
  EXPECT_LT(back.data(), memory.at() + kImported);
  // The file has it.
  std::string there(300, 0);
  EXPECT_EQ(pread(memory.file(), there.data(), 300, static_cast<char*>(back.data()) - memory.at()),
            300);
  EXPECT_EQ(there, std::string(300, 'x'));
  socket.flush();
}

TEST_F(WireImport, MayBeOfMemoryThatIsOnlyRead) {
  Peer peer("echo");
  Mapped memory(PROT_READ);
  memory.write(0, "read-only");
  dma_mem_t handle = nullptr;
  if (dma_import(&handle, memory.at(), kImported, DMA_SEND) != 0 && errno == EFAULT && !on_soft()) {
    GTEST_SKIP() << "the kernel pins no shared memory that is mapped read-only (before Linux 6.2)";
  }
  const Area area(handle, kImported);
  const Channel channel;
  Socket socket = connect_to(peer, channel, area, DMA_SEND);
  const Message all = Message::reserve(area, kImported);
  must(sio_send(socket.get(), all.data(), 9, 0), "sio_send");
  EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), "read-only");
  socket.flush();
  Socket other = Socket::make();
  const auto receive = [&](unsigned flags) {
    return dma_assoc(other.get(), area.get(), kImported, flags);
  };
  expect_errors({{"both ways", [&] { return receive(0); }, EACCES},
                 {"receiving", [&] { return receive(DMA_RECV); }, EACCES}});
}

TEST_F(WireImport, OutlivesItsArea) {
  const Mapped memory;
  { const Area area = import(memory); }
  memory.at()[kImported - 1] = 'x';  // still mapped
  const Area again = import(memory);
}

class MisuseOfImport : public DeviceTest {};

TEST_F(MisuseOfImport, Import) {
  const Mapped memory;
  dma_mem_t handle = nullptr;
  const auto import = [&](void* at, size_t size, unsigned flags = 0) {
    return dma_import(&handle, at, size, flags);
  };
  char* const at = memory.at();
  const Mapped unwritable(PROT_READ);
  const Mapped cut;
  must(ftruncate(cut.file(), kImported / 2), "ftruncate");
  void* const nothing = reinterpret_cast<void*>(4096);  // where the kernel lets nobody map
  expect_errors({
      {"no handle", [&] { return dma_import(nullptr, at, kImported, 0); }, EINVAL},
      {"NULL", [&] { return import(nullptr, kImported); }, EINVAL},
      {"crooked", [&] { return import(at + 32, 4096); }, EINVAL},
      {"crooked end", [&] { return import(at, 100); }, EINVAL},
      {"no bytes", [&] { return import(at, 0); }, EINVAL},
      {"round the end", [&] { return import(at, SIZE_MAX - 63); }, EINVAL},
      {"unknown flag", [&] { return import(at, kImported, DMA_RECV); }, EINVAL},
      {"a page's flag", [&] { return import(at, kImported, DMA_HUGE_2MB); }, EINVAL},
      {"unmapped", [&] { return import(nothing, 4096); }, EFAULT},
      {"beyond its file", [&] { return import(cut.at(), kImported); }, EFAULT},
      {"unwritable", [&] { return import(unwritable.at(), kImported); }, EACCES},
  });
  must(import(at + 4096, 8192), "dma_import");
  const dma_mem_t first = handle;
  expect_errors({
      {"the same", [&] { return import(at + 4096, 8192); }, EINVAL},
      {"around it", [&] { return import(at, kImported); }, EINVAL},
      {"its last line", [&] { return import(at + 4096 + 8128, 4096); }, EINVAL},
      {"its first line", [&] { return import(at, 4160); }, EINVAL},
      {"freed by half", [&] { return dma_free(first, 4096); }, EINVAL},
  });
  must(import(at + 4096 + 8192, 4096), "dma_import");
  must(dma_free(handle, 4096), "dma_free");
  must(import(at, 4096), "dma_import");
  must(dma_free(handle, 4096), "dma_free");
  must(dma_free(first, 8192), "dma_free");
}

// ----------------------------------------------------------------------------------- huge pages

constexpr size_t kHuge = size_t{2} << 20;

// Sets a few huge pages apart, if this program may.
class HugePages {
 public:
  HugePages() {
    std::ifstream(kPath) >> before_;
    set(before_ + 8);
    size_t now = 0;
    std::ifstream(kPath) >> now;
    there_ = now >= before_ + 8;
  }
  ~HugePages() { set(before_); }
  explicit operator bool() const { return there_; }

 private:
  static constexpr const char* kPath = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
  static void set(size_t n) { std::ofstream(kPath) << n; }

  size_t before_ = 0;
  bool there_ = false;
};

// The size in KiB of the pages that are mapped there.
size_t page_kib_at(const void* p) {
  std::ifstream maps("/proc/self/smaps");
  char start[32];
  std::snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(p));
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.rfind(start, 0) == 0) here = true;
    if (here && line.rfind("KernelPageSize:", 0) == 0) return std::stoul(line.substr(15));
  }
  return 0;
}

TEST_F(WireImport, OnHugePagesIsAnAreaLikeAnyOther) {
  const HugePages pages;
  if (!pages) GTEST_SKIP() << "may not set huge pages apart";
  Peer peer("echo");
  const Area area(kHuge + 1, DMA_HUGE_2MB);
  const Channel channel;
  EXPECT_EQ(accounts(area.get()).size, 2 * kHuge);
  EXPECT_EQ(page_kib_at(accounts(area.get()).base), kHuge / 1024);
  Socket socket = connect_to(peer, channel, area, 0);
  const Message sent = Message::reserve(area, 300);
  std::memset(sent.data(), 'x', 300);
  must(sio_send(socket.get(), sent.data(), 300, 0), "sio_send");
  EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), std::string(300, 'x'));
  socket.flush();
}

TEST_F(MisuseOfImport, HugePagesThatAreNotThere) {
  dma_mem_t handle = nullptr;
  const auto alloc = [&](size_t size, unsigned flags) { return dma_alloc(&handle, size, flags); };
  std::string log;
  sio_set_log([](int, const char* line, void* arg) { *static_cast<std::string*>(arg) += line; },
              SIO_LOG_ERROR, &log);
  expect_errors({
      {"two sizes", [&] { return alloc(4096, DMA_HUGE_2MB | DMA_HUGE_1GB); }, EINVAL},
      {"too many", [&] { return alloc(size_t{1} << 36, DMA_HUGE_2MB); }, ENOMEM},
      {"too large", [&] { return alloc(size_t{1} << 36, DMA_HUGE_1GB); }, ENOMEM},
  });
  sio_set_log(nullptr, SIO_LOG_WARN, nullptr);
  EXPECT_NE(log.find("2 MiB: 32768 are needed"), std::string::npos) << log;
  EXPECT_NE(log.find("nr_hugepages"), std::string::npos) << log;
  EXPECT_NE(log.find("1024 MiB"), std::string::npos) << log;
}

}  // namespace
}  // namespace sio::test
