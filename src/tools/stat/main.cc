// SPDX-License-Identifier: BSD-2-Clause
//
// sio_stat: what the sockets of a running program do. Exit status: 0, 1 when there are no figures
// to be had, 2 wrong usage.
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <utility>

#include "common/help.h"
#include "stat/failure.h"
#include "stat/process.h"
#include "stat/report.h"

namespace sio_stat {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kMostPid = 4 << 20;  // PID_MAX_LIMIT of Linux
constexpr uint64_t kMostTables = 1'000'000'000;

struct Options {
  int pid = 0;
  double interval = 1;  // seconds
  uint64_t count = 0;   // 0: until the process ends
  bool json = false;
  bool totals = false;
};

// Of reports, one after the other.
class Display {
 public:
  explicit Display(const Options& options)
      : options_(options), terminal_(!options.json && ::isatty(STDOUT_FILENO) != 0) {}

  void show(const Report& report, const std::string& note) {
    std::string text = text_of_report(report);
    if (!note.empty()) text += note + '\n';
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      throw Failure("writing the output", errno);
    first_ = false;
  }

 private:
  std::string text_of_report(const Report& report) const {
    if (options_.json) return json(report);
    if (!terminal_) return (first_ ? "" : "\n") + table(report, options_.totals, 0, 0);
    constexpr const char* kFromTheTop = "\033[H\033[J";
    winsize size{};
    ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    return kFromTheTop + table(report, options_.totals, size.ws_row, size.ws_col);
  }

  const Options& options_;
  const bool terminal_;
  bool first_ = true;
};

// Whether the figures move: a process that is stopped writes none.
class Pulse {
 public:
  std::string note(const stats::Totals& totals) {
    constexpr std::chrono::seconds kPatience{3};
    const Clock::time_point now = Clock::now();
    if (totals.passes != passes_) {
      passes_ = totals.passes;
      since_ = now;
    }
    const auto still = std::chrono::floor<std::chrono::seconds>(now - since_);
    if (still < kPatience) return "";
    return "no new figures for " + std::to_string(still.count()) + " s; is the process stopped?";
  }

 private:
  uint64_t passes_ = 0;
  Clock::time_point since_ = Clock::now();
};

void watch(const Options& options) {
  const Process process(options.pid);
  const PageReader page = process.page();
  const milliseconds interval(static_cast<int64_t>(options.interval * 1000));
  Display display(options);
  Pulse pulse;
  std::optional<Reading> before;
  for (uint64_t shown = 0;;) {
    Reading now = page.read();
    // Rates take two readings.
    if (before || options.totals || options.json) {
      display.show(make_report(options.pid, page.version(), now, before ? &*before : nullptr),
                   pulse.note(now.totals));
      if (++shown == options.count) return;
    }
    before = std::move(now);
    if (process.ends_within(interval)) {
      std::fprintf(stderr, "sio_stat: process %d has ended\n", options.pid);
      return;
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("What the sockets of a running program do, if it was started with SIO_STATS=1.");
  sio_tools::dress(app, "sio_stat");
  Options options;
  app.add_option("pid", options.pid, "The process")->required()->check(CLI::Range(1, kMostPid));
  app.add_option("-i,--interval", options.interval, "Seconds between two tables")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("-n,--count", options.count, "So many tables; else until the process ends")
      ->check(CLI::Range(uint64_t{1}, kMostTables));
  CLI::Option* const json =
      app.add_flag("--json", options.json, "Each as a line of JSON, the first at once");
  app.add_flag("--totals", options.totals, "What was sent and received in all, not per second")
      ->excludes(json);
  if (const int status = sio_tools::parse(app, argc, argv); status >= 0) return status;
  try {
    watch(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sio_stat: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace sio_stat

int main(int argc, char** argv) { return sio_stat::main(argc, argv); }
