// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/fd.h"
#include "wire/stats_page.h"

namespace sio::internal::stats {

// The page of this process (page.h). One thread at a time.
class PageWriter {
 public:
  // Throws std::system_error.
  PageWriter();
  ~PageWriter();
  PageWriter(const PageWriter&) = delete;
  PageWriter& operator=(const PageWriter&) = delete;

  // Precondition, all: entry < kMostSockets.
  void put(uint32_t entry, const SocketFigures& figures) noexcept;
  // The socket has gone.
  void clear(uint32_t entry) noexcept;
  // As they were last put there.
  const SocketFigures& figures(uint32_t entry) const noexcept;
  void put(const Totals& totals) noexcept;

  int file() const noexcept { return file_.get(); }

 private:
  Header& header() const noexcept { return *static_cast<Header*>(memory_); }
  Entry& at(uint32_t entry) const noexcept;
  void write_header() noexcept;

  OwnFd file_;
  void* memory_ = nullptr;
};

}  // namespace sio::internal::stats
