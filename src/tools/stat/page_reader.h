// SPDX-License-Identifier: BSD-2-Clause
//
// Reads what a process says of its sockets (wire/stats_page.h). That process may be anybody's, and
// this one root's: so nothing is believed, and the file is read, not mapped, since a page that is
// taken out of a mapping kills who looks at it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "wire/stats_page.h"

namespace sio_stat {

namespace stats = sio::internal::stats;
using sio::internal::OwnFd;

struct Socket {
  uint32_t entry;
  stats::SocketFigures figures;  // text is printable and ends
};

struct Reading {
  stats::Totals totals{};
  std::vector<Socket> sockets;
  uint32_t unreadable = 0;  // entries that are no figures, or changed all the time
};

class PageReader {
 public:
  // Throws Failure: it is no such page, or that of another version.
  explicit PageReader(OwnFd file);

  int pid() const noexcept { return header_.pid; }
  std::string version() const;
  // Throws Failure.
  Reading read() const;

 private:
  // What somebody writes again and again is looked at so often in a reading, a millisecond apart.
  static constexpr int kPatience = 100;

  void copy(size_t offset, void* to, size_t n) const;
  template <typename T>
  bool read_guarded(size_t offset, T& value, int& patience) const;

  OwnFd file_;
  stats::Header header_{};
};

}  // namespace sio_stat
