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
// One whose channel is in use all the time is looked at again so often in a pass, so much later;
// those that were not seen then stay as they were until the next pass.
constexpr int kMostRetries = 16;
constexpr milliseconds kRetry{1};

uint64_t to_ns(TimePoint time) noexcept {
  return static_cast<uint64_t>(nanoseconds(time.time_since_epoch()).count());
}

class Publisher {
 public:
  void begin() {
    worked_ = {};
    next_ = 0;
    retries_ = 0;
    const uint64_t passes = totals_.passes;
    totals_ = {};
    totals_.passes = passes;
    go_on();
  }

 private:
  enum class Then { kNextOnes, kRetry, kEnd };

  void go_on() {
    const TimePoint start = Clock::now();
    const Then then = look_at_some();
    worked_ += Clock::now() - start;
    ControlThread& thread = ControlThread::instance();
    switch (then) {
      case Then::kNextOnes:
        return thread.post([this] { go_on(); });
      case Then::kRetry:
        thread.at(Clock::now() + kRetry, [this] { go_on(); });
        return;
      case Then::kEnd:
        end();
        const auto pause = std::max<Clock::duration>(kPause, kLeastPauses * worked_);
        thread.at(Clock::now() + pause, [this] { begin(); });
    }
  }

  Then look_at_some() {
    for (uint32_t i = 0; i < kAtOnce; ++i, ++next_) {
      const Socket* const socket = socket_pool().made(next_);
      if (socket == nullptr) return Then::kEnd;
      if (!look_at(*socket) && retries_++ < kMostRetries) return Then::kRetry;
    }
    return Then::kNextOnes;
  }

  // False: it was busy.
  bool look_at(const Socket& socket) {
    if (next_ >= kMostSockets) {
      totals_.left_out += socket.channel() != nullptr ? 1 : 0;
      return true;
    }
    totals_.entries = next_ + 1;
    SocketFigures figures = page_.figures(next_);
    switch (socket.report(figures)) {
      case Socket::Reported::kReported:
        page_.put(next_, figures);
        return true;
      case Socket::Reported::kUnused:
        page_.clear(next_);
        return true;
      case Socket::Reported::kBusy:
        break;
    }
    return false;
  }

  void end() noexcept {
    ++totals_.passes;
    totals_.time_ns = to_ns(Clock::now());
    totals_.channels = DescriptorTable::instance().count_channels();
    AreaTable::count(totals_.areas, totals_.area_bytes);
    page_.put(totals_);
  }

  PageWriter page_;
  // Of the pass that is under way.
  Clock::duration worked_{};
  uint32_t next_ = 0;
  int retries_ = 0;
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
