// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cstdio>

#include "stat/report.h"

namespace sio_stat {
namespace {

// Columns of a number; one more is between two of them.
constexpr int kAmount = 6;
constexpr int kCount = 6;

// At most kAmount columns: 99999, 123.4k, 1.2M.
std::string amount(double value) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  char text[32];
  if (value < 99999.5) {
    std::snprintf(text, sizeof text, "%.*f", value > 0 && value < 9.95 ? 1 : 0, value);
    return text;
  }
  // 999.95 would be shown as 1000.0.
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  std::snprintf(text, sizeof text, "%.1f%s", value, kUnits[unit]);
  return text;
}

std::string whole(uint64_t value) {
  return value < 100'000 ? std::to_string(value) : amount(static_cast<double>(value));
}

void right(std::string& to, const std::string& text, int width) {
  to += ' ';
  if (const int pad = width - static_cast<int>(text.size()); pad > 0)
    to.append(static_cast<size_t>(pad), ' ');
  to += text;
}

void left(std::string& to, const std::string& text, size_t width) {
  to += ' ' + text;
  if (text.size() < width) to.append(width - text.size(), ' ');
}

std::string several(uint64_t n, const char* what) {
  return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}

// Of who has no peer: where it is reached.
std::string address_of(const stats::SocketFigures& figures) {
  const std::string peer = text_of(figures.peer);
  return !peer.empty() ? peer : text_of(figures.local);
}

std::string first_line(const Report& report) {
  const stats::Totals& totals = report.totals;
  std::string line = "process " + std::to_string(report.pid) + ", libsio " + report.version + ": " +
                     several(report.sockets.size(), "socket") + ", " +
                     several(totals.channels, "channel") + ", " + several(totals.areas, "area") +
                     " of " + amount(static_cast<double>(totals.area_bytes)) + " bytes";
  if (totals.left_out > 0) line += "; without figures: " + several(totals.left_out, "socket");
  if (report.unreadable > 0) line += "; unreadable: " + std::to_string(report.unreadable);
  return line;
}

std::string head(bool totals, size_t address) {
  std::string line;
  right(line, "fd", 5);
  right(line, "chan", 4);
  left(line, "type", 6);
  left(line, "state", 7);
  left(line, "peer", address);
  if (totals) {
    for (const char* const name : {"sent", "bytes", "recvd", "bytes"}) right(line, name, kAmount);
  } else {
    for (const char* const name : {"sent/s", "B/s", "recv/s", "B/s"}) right(line, name, kAmount);
  }
  right(line, "unsent", kCount);
  right(line, "flight", kCount);
  right(line, "credit", kCount);
  right(line, "held", 4);
  right(line, "stalls", kCount);
  right(line, "bulk", 5);
  return line.substr(1) + " error";
}

std::string amounts_of(const Line& of, bool totals) {
  const sio_info& info = of.figures.info;
  std::string line;
  if (totals) {
    for (const uint64_t value :
         {info.messages_sent, info.bytes_sent, info.messages_received, info.bytes_received})
      right(line, whole(value), kAmount);
  } else if (of.rates) {
    for (const double value : {of.rates->messages_sent, of.rates->bytes_sent,
                               of.rates->messages_received, of.rates->bytes_received})
      right(line, amount(value), kAmount);
  } else {
    for (int i = 0; i < 4; ++i) right(line, "-", kAmount);
  }
  return line;
}

std::string row(const Line& of, bool totals, size_t address) {
  const stats::SocketFigures& figures = of.figures;
  const sio_info& info = figures.info;
  std::string line;
  right(line, figures.fd < 0 ? "-" : std::to_string(figures.fd), 5);
  right(line, figures.channel < 0 ? "-" : std::to_string(figures.channel), 4);
  left(line, name_of_type(figures.type), 6);
  left(line, name_of_state(figures.state), 7);
  left(line, address_of(figures), address);
  line += amounts_of(of, totals);
  right(line, whole(figures.unsent), kCount);
  right(line, whole(info.sends_in_flight + uint64_t{figures.bulk_in_flight}), kCount);
  right(line, whole(info.credits), kCount);
  right(line, whole(figures.slots_held), 4);
  right(line, whole(info.credit_stalls + info.bulk_stalls), kCount);
  right(line, whole(info.bulk_sent + info.bulk_received), 5);
  const std::string error = name_of_error(info.error);
  return line.substr(1) + (error.empty() ? "" : ' ' + error);
}

double traffic(const Line& of) {
  const Rates rates = of.rates.value_or(Rates{});
  return rates.messages_sent + rates.messages_received;
}

// Those with the most messages, in the order in which they were.
std::vector<Line> busiest(const std::vector<Line>& all, size_t n) {
  std::vector<size_t> order(all.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return traffic(all[a]) > traffic(all[b]); });
  order.resize(n);
  std::sort(order.begin(), order.end());
  std::vector<Line> some;
  for (const size_t i : order) some.push_back(all[i]);
  return some;
}

void add(std::string& to, std::string line, size_t columns) {
  if (columns > 0 && line.size() > columns) line.resize(columns);
  to += line + '\n';
}

}  // namespace

std::string table(const Report& report, bool totals, size_t rows, size_t columns) {
  constexpr size_t kOthers = 4;  // lines: the two at the top, of those left out, the cursor's
  const size_t room = rows == 0 ? SIZE_MAX : std::max(rows, kOthers + 1) - kOthers;
  const size_t all = report.sockets.size();
  const std::vector<Line> shown = all > room ? busiest(report.sockets, room) : report.sockets;
  size_t address = 4;
  for (const Line& line : shown) address = std::max(address, address_of(line.figures).size());
  std::string text;
  add(text, first_line(report), columns);
  add(text, head(totals, address), columns);
  for (const Line& line : shown) add(text, row(line, totals, address), columns);
  if (shown.size() < all)
    add(text, "and " + several(all - shown.size(), "socket") + " with less to do", columns);
  return text;
}

}  // namespace sio_stat
