// SPDX-License-Identifier: BSD-2-Clause
#include "stats/writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "base/error.h"

#ifndef MFD_NOEXEC_SEAL  // Linux 6.3
#define MFD_NOEXEC_SEAL 8U
#endif

namespace sio::internal::stats {
namespace {

constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

// A system can insist on files that are not executable; older kernels do not know of them.
int make_file() {
  const int fd = memfd_create(kPageName, kFlags | MFD_NOEXEC_SEAL);
  if (fd >= 0 || errno != EINVAL) return check_errno(fd, "memfd_create");
  return check_errno(memfd_create(kPageName, kFlags), "memfd_create");
}

// Beyond this limit ftruncate would not only fail, but raise a signal.
void check_file_limit() {
  rlimit limit{};
  check_errno(getrlimit(RLIMIT_FSIZE, &limit), "getrlimit");
  if (limit.rlim_cur < kPageBytes) throw_errno(EFBIG, "the limit for files (ulimit -f)");
}

// Each word a release store, so that the odd number is seen before any of them and the even one
// after all. That costs nothing beside the copy.
template <typename T>
void publish(Guarded<T>& to, const T& value) noexcept {
  uint64_t words[sizeof(T) / 8];
  std::memcpy(words, &value, sizeof value);
  auto* const at = reinterpret_cast<uint64_t*>(&to.value);
  const std::atomic_ref<uint64_t> sequence(to.sequence);
  // Odd, whatever somebody else may have made of it.
  const uint64_t odd = sequence.load(std::memory_order_relaxed) | 1;
  sequence.store(odd, std::memory_order_relaxed);
  for (size_t i = 0; i < std::size(words); ++i)
    std::atomic_ref<uint64_t>(at[i]).store(words[i], std::memory_order_release);
  sequence.store(odd + 1, std::memory_order_release);
}

}  // namespace

PageWriter::PageWriter() {
  check_file_limit();
  file_ = OwnFd(make_file());
  check_errno(ftruncate(file_.get(), kPageBytes), "ftruncate");
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  check_errno(fcntl(file_.get(), F_ADD_SEALS, kSeals), "fcntl(F_ADD_SEALS)");
  memory_ = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (memory_ == MAP_FAILED) throw_last_errno("mmap");
  // A child is not to have the parent's page to write to, nor a core file 32 MiB of it.
  if (madvise(memory_, kPageBytes, MADV_DONTFORK) != 0) {
    const int error = errno;
    munmap(memory_, kPageBytes);
    throw_errno(error, "madvise(MADV_DONTFORK)");
  }
  madvise(memory_, kPageBytes, MADV_DONTDUMP);
  write_header();
}

PageWriter::~PageWriter() { munmap(memory_, kPageBytes); }

void PageWriter::write_header() noexcept {
  Header& to = header();
  to.layout = kLayout;
  to.version = SIO_VERSION_MAJOR << 16 | SIO_VERSION_MINOR << 8 | SIO_VERSION_PATCH;
  to.header_bytes = kHeaderBytes;
  to.entry_bytes = sizeof(Entry);
  to.most_sockets = kMostSockets;
  to.pid = getpid();
  // Release: who finds it finds the rest.
  std::atomic_ref<uint64_t>(to.magic).store(kMagic, std::memory_order_release);
}

Entry& PageWriter::at(uint32_t entry) const noexcept {
  return *reinterpret_cast<Entry*>(static_cast<std::byte*>(memory_) + place_of(entry));
}

const SocketFigures& PageWriter::figures(uint32_t entry) const noexcept { return at(entry).value; }

void PageWriter::put(uint32_t entry, const SocketFigures& figures) noexcept {
  publish<SocketFigures>(at(entry), figures);
}

// What is clear already is not touched: it may be of a page that was never written.
void PageWriter::clear(uint32_t entry) noexcept {
  if (figures(entry).state != State::kNone) put(entry, SocketFigures{});
}

void PageWriter::put(const Totals& totals) noexcept { publish(header().totals, totals); }

}  // namespace sio::internal::stats
