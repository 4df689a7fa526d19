// SPDX-License-Identifier: BSD-2-Clause
#include "stat/page_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "stat/failure.h"

namespace sio_stat {
namespace {

std::string text_of_version(uint32_t version) {
  return std::to_string(version >> 16) + '.' + std::to_string(version >> 8 & 0xff) + '.' +
         std::to_string(version & 0xff);
}

// It goes to a terminal.
template <size_t N>
void make_printable(char (&text)[N]) noexcept {
  text[N - 1] = '\0';
  for (char* at = text; *at != '\0'; ++at) {
    if (*at < ' ' || *at > '~') *at = '?';
  }
}

bool are_figures(stats::SocketFigures& figures) noexcept {
  if (figures.state > stats::State::kEnded) return false;
  make_printable(figures.info.device);
  make_printable(figures.info.gid);
  return true;
}

}  // namespace

PageReader::PageReader(OwnFd file) : file_(std::move(file)) {
  // Files in memory alone have seals: a file system that does not answer is not asked.
  if (::fcntl(file_.get(), F_GET_SEALS) < 0) throw Failure("it is no file in memory");
  copy(0, &header_, sizeof header_);
  if (header_.magic != stats::kMagic) throw Failure("it does not begin as figures of libsio do");
  if (header_.layout != stats::kLayout) {
    throw Failure("they are of libsio " + version() + ", and this sio_stat is of " +
                  std::to_string(SIO_VERSION_MAJOR) + '.' + std::to_string(SIO_VERSION_MINOR) +
                  '.' + std::to_string(SIO_VERSION_PATCH));
  }
  if (header_.header_bytes != stats::kHeaderBytes || header_.entry_bytes != sizeof(stats::Entry) ||
      header_.most_sockets != stats::kMostSockets)
    throw Failure("its sizes are not those of its version");
}

std::string PageReader::version() const { return text_of_version(header_.version); }

void PageReader::copy(size_t offset, void* to, size_t n) const {
  const ssize_t got = ::pread(file_.get(), to, n, static_cast<off_t>(offset));
  if (got < 0) throw Failure("reading the figures", errno);
  if (static_cast<size_t>(got) != n) throw Failure("the file is cut off");
}

// Each copy() holds on to the page meanwhile, which the kernel does by atomic operations: so what
// it reads comes after what the one before has read. False: it was never at rest.
template <typename T>
bool PageReader::read_guarded(size_t offset, T& value, int& patience) const {
  using Guarded = stats::Guarded<T>;
  for (;;) {
    uint64_t before;
    uint64_t after;
    copy(offset + offsetof(Guarded, sequence), &before, sizeof before);
    copy(offset + offsetof(Guarded, value), &value, sizeof value);
    copy(offset + offsetof(Guarded, sequence), &after, sizeof after);
    if (before == after && before % 2 == 0) return true;
    if (patience-- <= 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Reading PageReader::read() const {
  Reading reading;
  int patience = kPatience;
  if (!read_guarded(offsetof(stats::Header, totals), reading.totals, patience))
    throw Failure("the figures are being written all the time; is the process stopped?");
  const uint32_t entries = std::min(reading.totals.entries, stats::kMostSockets);
  for (uint32_t i = 0; i < entries; ++i) {
    Socket socket{i, {}};
    if (!read_guarded(stats::place_of(i), socket.figures, patience) ||
        !are_figures(socket.figures)) {
      ++reading.unreadable;
    } else if (socket.figures.state != stats::State::kNone) {
      reading.sockets.push_back(socket);
    }
  }
  return reading;
}

}  // namespace sio_stat
