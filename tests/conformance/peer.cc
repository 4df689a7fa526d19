// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/peer.h"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "conformance/agent.h"

namespace sio::test {
namespace {

// The folder that this program lies in: the peer lies there too.
std::string program_folder() {
  char path[PATH_MAX] = "";
  must(static_cast<int>(readlink("/proc/self/exe", path, sizeof path - 1)), "readlink");
  const std::string whole = path;
  return whole.substr(0, whole.rfind('/') + 1);
}

pid_t local_agent = 0;
uint16_t local_agent_port = 0;

Address agent_address() {
  if (machines() == 1) return {"127.0.0.1", local_agent_port};
  const char* peer = std::getenv("SIO_RXE_PEER");
  if (peer == nullptr) fail("SIO_RXE_MACHINES is 2 and SIO_RXE_PEER is not set");
  return {peer, kAgentPort};
}

Fd connect_to_agent() {
  const Address address = agent_address();
  Fd connection;
  const bool connected = eventually([&] {
    connection = Fd(must(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    return connect(connection.get(), address.get(), address.size()) == 0;
  });
  if (!connected) fail("no agent at %s", address.whole().c_str());
  return connection;
}

}  // namespace

Peer::Peer(const std::string& command, const std::vector<std::string>& environment)
    : command_(command), agent_(connect_to_agent()), lines_(agent_.get()) {
  for (const std::string& variable : environment) write_line(agent_.get(), "env " + variable);
  if (!write_line(agent_.get(), "run " + command)) fail("the agent has gone");
}

Peer::~Peer() {
  if (status_ || agent_.get() < 0) return;
  try {
    kill();
  } catch (const std::exception& error) {
    complain(error.what());
  }
}

std::optional<std::string> Peer::next_of_agent(milliseconds limit) {
  if (early_.empty()) return lines_.line(limit);
  std::string line = std::move(early_.front());
  early_.pop_front();
  return line;
}

// Nothing: it has ended, status_ says how.
std::optional<std::string> Peer::next(milliseconds limit) {
  if (status_) return std::nullopt;
  auto line = next_of_agent(limit);
  if (!line) fail("%s: the agent has gone", command_.c_str());
  const std::string verb = take_word(*line);
  if (verb == "out") return line;
  if (verb != "exit")
    fail("%s: the agent says %s %s", command_.c_str(), verb.c_str(), line->c_str());
  const int status = std::stoi(*line);
  status_ = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  return std::nullopt;
}

std::string Peer::line(milliseconds limit) {
  try {
    auto line = next(limit);
    if (line) return *line;
  } catch (const std::exception& error) {
    fail("%s: %s", command_.c_str(), error.what());
  }
  fail("%s: has ended: %d", command_.c_str(), *status_);
}

std::string Peer::expect(const std::string& words, milliseconds limit) {
  std::string got = line(limit);
  if (got == words) return "";
  if (got.rfind(words + ' ', 0) != 0) {
    fail("%s: says \"%s\", not \"%s\"", command_.c_str(), got.c_str(), words.c_str());
  }
  return got.substr(words.size() + 1);
}

uint64_t Peer::expect_number(const std::string& words, milliseconds limit) {
  return std::stoull(expect(words, limit));
}

const Address& Peer::address() {
  if (!address_) {
    const auto words = split_words(expect("listening"));
    if (words.size() != 2) fail("%s: where does it listen?", command_.c_str());
    address_.emplace(words[1], static_cast<uint16_t>(std::stoi(words[0])));
  }
  return *address_;
}

void Peer::say(const std::string& line) { write_line(agent_.get(), "in " + line); }

void Peer::close_input() { write_line(agent_.get(), "eof"); }

void Peer::signal(int signo) { write_line(agent_.get(), "signal " + std::to_string(signo)); }

void Peer::stop() {
  write_line(agent_.get(), "stop");
  for (;;) {
    auto line = lines_.line(kSoon);
    if (!line) fail("%s: the agent has gone", command_.c_str());
    if (*line == "stopped") return;
    early_.push_back(std::move(*line));
  }
}

void Peer::kill() {
  signal(SIGKILL);
  wait();
}

int Peer::wait(milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!status_) next(std::chrono::ceil<milliseconds>(end - Clock::now()));
  return *status_;
}

void Peer::finish(milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (const auto line = next(std::chrono::ceil<milliseconds>(end - Clock::now()))) {
    if (line->rfind("error", 0) == 0) fail("%s: %s", command_.c_str(), line->c_str());
  }
  if (*status_ != 0) fail("%s: exit status %d", command_.c_str(), *status_);
}

std::string to(const Address& there) {
  return " to=" + there.text() + " port=" + std::to_string(there.port());
}

std::string to(const Socket& there) { return to(there.name()); }

void start_local_agent() {
  int ends[2];
  must(pipe(ends), "pipe");
  Fd out(ends[0]);
  Fd in(ends[1]);
  const std::string program = program_folder() + "sio_test_peer";
  const pid_t parent = getpid();
  local_agent = must(fork(), "fork");
  if (local_agent == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    dup2(in.get(), STDOUT_FILENO);
    execl(program.c_str(), program.c_str(), "--agent", "127.0.0.1", "0", nullptr);
    _exit(127);
  }
  in.reset();
  const auto line = LineReader(out.get()).line(kSoon);
  if (!line || line->rfind("agent ", 0) != 0) fail("%s does not start", program.c_str());
  local_agent_port = static_cast<uint16_t>(std::stoi(line->substr(6)));
}

void end_local_agent() {
  if (local_agent == 0) return;
  ::kill(local_agent, SIGKILL);
  waitpid(local_agent, nullptr, 0);
  local_agent = 0;
}

}  // namespace sio::test
