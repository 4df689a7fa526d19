// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours of a process whose figures others read (SIO_STATS).
//
//   figures  says "pid N", makes a connection (make_connection), and does as it hears:
//            "take N"    receives so many messages, holds them, says "taken"
//            "drop"      releases these, says "dropped"
//            "send N"    sends so many, says "sent"
//            "info"      says "info FD HEX": the connection's SIO_INFO, byte by byte
//            "datagram"  opens a datagram socket; says "datagram FD PORT"
//            "datagrams N"  as "take", from there
//            "close"     closes the connection, says "closed"
//            "fork"      says "child N": a child that lives until this process does not
//            file_limit=: files have so many bytes at most; what is logged is said, "log LINE"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "conformance/behaviours.h"

namespace sio::test {
namespace {

std::string hex_of(const sio_info& info) {
  std::string text;
  for (size_t i = 0; i < sizeof info; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", reinterpret_cast<const unsigned char*>(&info)[i]);
    text += digits;
  }
  return text;
}

void limit_files(int bytes) {
  const rlimit limit{static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
  must(setrlimit(RLIMIT_FSIZE, &limit), "setrlimit");
  sio_set_log([](int, const char* line, void*) { say("log %s", line); }, SIO_LOG_WARN, nullptr);
}

pid_t fork_one_that_lives() {
  const pid_t child = must(fork(), "fork");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) pause();
}

class Figures {
 public:
  explicit Figures(const Options& options) : socket_(make_connection(options)) {}

  void obey(const std::string& line) {
    const std::string what = line.substr(0, line.find(' '));
    const int n = what == line ? 0 : std::stoi(line.substr(what.size()));
    if (what == "take") take(socket_, n);
    if (what == "datagrams") take(datagram_, n);
    if (what == "drop") drop();
    if (what == "send") send(n);
    if (what == "info")
      say("info %d %s", socket_.get(), hex_of(socket_.get_option<sio_info>(SIO_INFO)).c_str());
    if (what == "datagram") open_datagram();
    if (what == "close") close();
    if (what == "fork") say("child %d", fork_one_that_lives());
  }

 private:
  void take(Socket& from, int n) {
    for (int i = 0; i < n; ++i) held_.push_back(from.receive());
    say("taken");
  }
  void drop() {
    held_.clear();
    say("dropped");
  }
  void send(int n) {
    for (int i = 0; i < n; ++i) socket_.send("a message");
    socket_.flush();
    say("sent");
  }
  void open_datagram() {
    datagram_ = Socket::make(0, AF_UNSPEC, SOCK_DGRAM);
    datagram_.bind(Address::self());
    say("datagram %d %d", datagram_.get(), datagram_.name().port());
  }
  void close() {
    socket_.close();
    say("closed");
  }

  Socket socket_;
  Socket datagram_;
  std::vector<Message> held_;
};

void figures(const Options& options) {
  if (options.has("file_limit")) limit_files(options.number("file_limit"));
  say("pid %d", getpid());
  Figures figures(options);
  for (std::string line = hear(); !line.empty(); line = hear()) figures.obey(line);
}

}  // namespace

const Behaviours& figures_behaviours() {
  static const Behaviours table = {{"figures", figures}};
  return table;
}

}  // namespace sio::test
