// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/agent.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "conformance/behaviours.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

void die_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

// One connection and its process. The agent never called the library, so that a process forked
// from it is as good as one that was started anew, and much sooner there.
class Session {
 public:
  explicit Session(int connection) : connection_(connection), requests_(connection) {}

  void run() {
    await_run();
    for (const std::string& line : requests_.complete_lines()) obey(line);
    while (process_ > 0) {
      pollfd entries[] = {
          {connection_, POLLIN, 0}, {output_.get(), POLLIN, 0}, {process_fd_.get(), POLLIN, 0}};
      if (poll(entries, 3, -1) < 0) continue;
      if (entries[1].revents != 0) relay();
      if (entries[2].revents != 0) return end();
      if (entries[0].revents != 0) obey_all();
    }
  }

 private:
  void await_run() {
    while (process_ == 0) {
      const auto line = requests_.line(kSoon);
      if (!line) return;
      obey(*line);
    }
  }

  void obey_all() {
    for (const std::string& line : requests_.read_lines()) obey(line);
    if (requests_.at_end()) abandon();
  }

  void obey(std::string line) {
    const std::string verb = take_word(line);
    if (verb == "env") {
      const size_t equals = line.find('=');
      if (equals == std::string::npos) fail("env wants NAME=VALUE");
      setenv(line.substr(0, equals).c_str(), line.substr(equals + 1).c_str(), 1);
    } else if (verb == "run" && process_ == 0) {
      start(line);
    } else if (verb == "in") {
      write_line(input_.get(), line);
    } else if (verb == "eof") {
      input_.reset();
    } else if (verb == "signal" && process_ > 0) {
      ::kill(process_, std::stoi(line));
    } else if (verb == "stop") {
      stop();
    }
  }

  // A thread that waits for a processor has not heard of it yet, and the others go on.
  void stop() {
    siginfo_t info;
    if (process_ > 0 && ::kill(process_, SIGSTOP) == 0) {
      while (waitid(P_PID, static_cast<id_t>(process_), &info, WSTOPPED | WEXITED | WNOWAIT) != 0 &&
             errno == EINTR) {
      }
    }
    write_line(connection_, "stopped");
  }

  void start(const std::string& command) {
    int in[2];
    int out[2];
    must(pipe2(in, O_CLOEXEC), "pipe");
    must(pipe2(out, O_CLOEXEC), "pipe");
    const pid_t parent = getpid();
    process_ = must(fork(), "fork");
    if (process_ == 0) {
      die_with(parent);
      std::signal(SIGPIPE, SIG_DFL);
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      for (const int fd : {in[0], in[1], out[0], out[1], connection_}) ::close(fd);
      _exit(run_behaviour(command));
    }
    ::close(in[0]);
    ::close(out[1]);
    input_ = Fd(in[1]);
    output_ = Fd(out[0]);
    process_fd_ = Fd(must(static_cast<int>(syscall(SYS_pidfd_open, process_, 0)), "pidfd_open"));
  }

  void relay() {
    for (const std::string& line : said_().read_lines()) write_line(connection_, "out " + line);
    if (said_().at_end()) output_.reset();  // poll passes over -1
  }

  LineReader& said_() {
    if (!output_lines_) output_lines_.emplace(output_.get());
    return *output_lines_;
  }

  // What it said last may still be in the pipe, which children of its own may hold open.
  void end() {
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    if (output_.get() >= 0) fcntl(output_.get(), F_SETFL, O_NONBLOCK);
    for (pollfd entry{output_.get(), POLLIN, 0}; poll(&entry, 1, 0) > 0;) {
      relay();
      entry.fd = output_.get();
    }
    write_line(connection_, "exit " + std::to_string(status));
  }

  void abandon() {
    ::kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = -1;
  }

  int connection_;
  LineReader requests_;
  std::optional<LineReader> output_lines_;
  Fd input_;
  Fd output_;
  Fd process_fd_;
  pid_t process_ = 0;  // -1: has ended
};

void serve(int connection) {
  const int on = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  try {
    Session(connection).run();
  } catch (const std::exception& error) {
    write_line(connection, std::string("error ") + error.what());
  }
}

}  // namespace

void run_agent(const Address& address) {
  std::signal(SIGPIPE, SIG_IGN);
  const Fd listener(must(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must(::bind(listener.get(), address.get(), address.size()), "bind");
  must(::listen(listener.get(), 64), "listen");
  std::printf("agent %d\n", Address(listener.get(), getsockname).port());
  std::fflush(stdout);
  const pid_t parent = getpid();
  for (int sessions = 0;;) {
    while (sessions > 0 && waitpid(-1, nullptr, sessions < kMostSessions ? WNOHANG : 0) > 0) {
      --sessions;
    }
    const Fd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.get() < 0) continue;
    const pid_t session = fork();
    if (session == 0) {
      die_with(parent);
      ::close(listener.get());
      serve(connection.get());
      _exit(0);
    }
    if (session > 0) ++sessions;
  }
}

}  // namespace sio::test
