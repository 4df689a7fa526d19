// SPDX-License-Identifier: BSD-2-Clause
#include "cat/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace sio_cat {
namespace {

constexpr size_t kBar = 20;  // columns within the brackets
constexpr size_t kColumns = 80;

std::string amount(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text;
}

std::string duration(double seconds) {
  const auto whole = static_cast<uint64_t>(std::max(seconds, 0.0));
  char text[32];
  std::snprintf(text, sizeof text, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, whole / 3600,
                whole / 60 % 60, whole % 60);
  return text;
}

std::string bar(const Amounts& amounts, double bytes_per_second) {
  const double done =
      std::min(1.0, static_cast<double>(amounts.sent) / static_cast<double>(amounts.to_send));
  const auto filled = static_cast<size_t>(done * static_cast<double>(kBar));
  std::string text = "  [" + std::string(filled, '#') + std::string(kBar - filled, ' ') + "] " +
                     std::to_string(static_cast<int>(done * 100)) + "%";
  if (bytes_per_second > 0 && amounts.sent < amounts.to_send) {
    text += "  " +
            duration(static_cast<double>(amounts.to_send - amounts.sent) / bytes_per_second) +
            " left";
  }
  return text;
}

size_t columns() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kColumns;
}

double seconds_between(std::chrono::steady_clock::time_point begin,
                       std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// With both ends on a terminal it is a conversation, and the line would be between the words.
bool is_conversation() { return ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0; }

}  // namespace

std::string progress_line(const Amounts& amounts, double seconds, double bytes_per_second,
                          size_t columns) {
  std::string line;
  if (amounts.sent > 0 || amounts.received == 0) {
    line = amount(static_cast<double>(amounts.sent)) + " sent";
  }
  if (amounts.received > 0) {
    if (!line.empty()) line += ", ";
    line += amount(static_cast<double>(amounts.received)) + " received";
  }
  line += "  " + amount(bytes_per_second) + "/s  " + duration(seconds);
  if (amounts.to_send > 0) line += bar(amounts, bytes_per_second);
  return line.substr(0, columns);
}

Progress::Progress(const Options& options)
    : terminal_(::isatty(STDERR_FILENO) != 0),
      shown_(options.progress || (terminal_ && !options.quiet && !is_conversation())) {}

void Progress::show(const Amounts& amounts) {
  if (!shown_) return;
  const Clock::time_point now = Clock::now();
  const uint64_t bytes = amounts.sent + amounts.received;
  const double rate =
      static_cast<double>(bytes - last_bytes_) / std::max(seconds_between(last_, now), 1e-3);
  last_ = now;
  last_bytes_ = bytes;
  print(progress_line(amounts, seconds_between(begin_, now), rate, columns() - 1), false);
}

void Progress::finish(const Amounts& amounts) {
  if (!shown_) return;
  const double seconds = seconds_between(begin_, Clock::now());
  const double bytes = static_cast<double>(amounts.sent + amounts.received);
  print(progress_line(amounts, seconds, bytes / std::max(seconds, 1e-3), columns() - 1), true);
}

void Progress::step_aside() {
  if (dirty_) std::fputc('\n', stderr);
  dirty_ = false;
}

void Progress::print(const std::string& line, bool last) {
  constexpr const char* kEraseRest = "\033[K";
  if (terminal_) {
    std::fprintf(stderr, "\r%s%s%s", line.c_str(), kEraseRest, last ? "\n" : "");
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
  dirty_ = terminal_ && !last;
}

}  // namespace sio_cat
