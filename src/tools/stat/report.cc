// SPDX-License-Identifier: BSD-2-Clause
#include "stat/report.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace sio_stat {
namespace {

// Nothing keeps the process from counting backwards.
double rate(uint64_t before, uint64_t now, double seconds) {
  return now > before && seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

Rates rates_between(const stats::SocketFigures& before, const stats::SocketFigures& now) {
  const double seconds = 1e-9 * rate(before.time_ns, now.time_ns, 1);
  const sio_info& a = before.info;
  const sio_info& b = now.info;
  return {rate(a.messages_sent, b.messages_sent, seconds),
          rate(a.bytes_sent, b.bytes_sent, seconds),
          rate(a.messages_received, b.messages_received, seconds),
          rate(a.bytes_received, b.bytes_received, seconds)};
}

// The same socket; readings are in the order of their entries.
const Socket* find(const Reading& in, const Socket& wanted) {
  const auto found =
      std::lower_bound(in.sockets.begin(), in.sockets.end(), wanted,
                       [](const Socket& a, const Socket& b) { return a.entry < b.entry; });
  const bool same = found != in.sockets.end() && found->entry == wanted.entry &&
                    found->figures.generation == wanted.figures.generation;
  return same ? &*found : nullptr;
}

}  // namespace

Report make_report(int pid, const std::string& version, const Reading& now, const Reading* before) {
  Report report{pid, version, now.totals, now.unreadable, {}};
  for (const Socket& socket : now.sockets) {
    Line line{socket.figures, std::nullopt};
    const Socket* const earlier = before != nullptr ? find(*before, socket) : nullptr;
    if (earlier != nullptr) line.rates = rates_between(earlier->figures, socket.figures);
    report.sockets.push_back(line);
  }
  std::stable_sort(report.sockets.begin(), report.sockets.end(), [](const Line& a, const Line& b) {
    return static_cast<uint32_t>(a.figures.fd) < static_cast<uint32_t>(b.figures.fd);  // -1 last
  });
  return report;
}

const char* name_of_state(stats::State state) {
  switch (state) {
    case stats::State::kNone:
      break;
    case stats::State::kNew:
      return "new";
    case stats::State::kListening:
      return "listen";
    case stats::State::kConnecting:
      return "connect";
    case stats::State::kAccepting:
      return "accept";
    case stats::State::kOpen:
      return "open";
    case stats::State::kClosing:
      return "closing";
    case stats::State::kEnding:
      return "ending";
    case stats::State::kEnded:
      return "ended";
  }
  return "none";
}

std::string name_of_type(int type) {
  switch (type) {
    case SOCK_SEQPACKET:
      return "seqpkt";
    case SOCK_STREAM:
      return "stream";
    case SOCK_DGRAM:
      return "dgram";
    default:
      return std::to_string(type);
  }
}

std::string text_of(const stats::Name& name) {
  if (name.family != AF_INET && name.family != AF_INET6) return "";
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(name.family, name.ip, text, sizeof text);
  const std::string port = ':' + std::to_string(name.port);
  if (name.family == AF_INET) return text + port;
  const std::string scope = name.scope != 0 ? '%' + std::to_string(name.scope) : "";
  return '[' + (text + scope) + ']' + port;
}

std::string name_of_error(int error) {
  if (error == 0) return "";
  const char* const name = ::strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

}  // namespace sio_stat
