// SPDX-License-Identifier: BSD-2-Clause
#include "stats/publisher.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/settings.h"
#include "control/control_thread.h"
#include "event/descriptor_table.h"
#include "memory/area_table.h"
#include "socket/socket.h"
#include "socket/socket_pool.h"
#include "stats/writer.h"

namespace sio::internal::stats {
namespace {

constexpr milliseconds kPause{100};
// Of many sockets it is longer, so that this takes a twentieth of a processor at most.
constexpr int kLeastPauses = 19;
// Sockets that are looked at before others have their turn in the control thread.
constexpr uint32_t kAtOnce = 64;

uint64_t to_ns(TimePoint time) noexcept {
  return static_cast<uint64_t>(nanoseconds(time.time_since_epoch()).count());
}

class Publisher {
 public:
  void begin() {
    began_ = Clock::now();
    next_ = 0;
    const uint64_t passes = totals_.passes;
    totals_ = {};
    totals_.passes = passes;
    go_on();
  }

 private:
  void go_on() {
    for (uint32_t i = 0; i < kAtOnce; ++i, ++next_) {
      Socket* const socket = socket_pool().made(next_);
      if (socket == nullptr) return end();
      look_at(*socket);
    }
    ControlThread::instance().post([this] { go_on(); });
  }

  void look_at(const Socket& socket) {
    if (next_ >= kMostSockets) {
      totals_.left_out += socket.channel() != nullptr ? 1 : 0;
      return;
    }
    totals_.entries = next_ + 1;
    SocketFigures figures = page_.figures(next_);
    if (!socket.report(figures)) return page_.clear(next_);
    page_.put(next_, figures);
    ++totals_.sockets;
  }

  void end() {
    const TimePoint now = Clock::now();
    ++totals_.passes;
    totals_.time_ns = to_ns(now);
    totals_.channels = DescriptorTable::instance().count_channels();
    AreaTable::count(totals_.areas, totals_.area_bytes);
    page_.put(totals_);
    const TimePoint next = now + std::max<Clock::duration>(kPause, kLeastPauses * (now - began_));
    ControlThread::instance().at(next, [this] { begin(); });
  }

  PageWriter page_;
  TimePoint began_;  // the pass that is under way
  uint32_t next_ = 0;
  Totals totals_{};
};

// Never destroyed: the control thread goes on until the process ends.
bool start() noexcept {
  if (settings().stats == 0) return false;
  try {
    auto* const publisher = new Publisher;
    ControlThread::instance().post([publisher] { publisher->begin(); });
    return true;
  } catch (const std::exception& error) {
    LOG_WARN("SIO_STATS: sio_stat will find no figures here: %s", error.what());
    return false;
  }
}

}  // namespace

void keep_figures() noexcept { [[maybe_unused]] static const bool kept = start(); }

}  // namespace sio::internal::stats
