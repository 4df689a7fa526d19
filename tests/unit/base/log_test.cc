// SPDX-License-Identifier: BSD-2-Clause
#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace sio::internal {
namespace {

// stderr is a pipe for as long as this lives.
class StderrPipe {
 public:
  StderrPipe() : before_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe(ends_), 0);
    dup2(ends_[1], STDERR_FILENO);
    close(ends_[1]);
  }
  StderrPipe(const StderrPipe&) = delete;
  StderrPipe& operator=(const StderrPipe&) = delete;
  ~StderrPipe() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    close(ends_[0]);
  }
  void nobody_reads() {
    close(ends_[0]);
    ends_[0] = -1;
  }
  std::string read_some() const {
    char text[256];
    const ssize_t n = read(ends_[0], text, sizeof text);
    return {text, n > 0 ? static_cast<size_t>(n) : 0};
  }

 private:
  int before_;
  int ends_[2];
};

volatile sig_atomic_t pipes_broken = 0;

TEST(Log, WritesALine) {
  const StderrPipe pipe;
  LOG_ERROR("number %d", 7);
  EXPECT_EQ(pipe.read_some(), "libsio error: number 7\n");
}

TEST(Log, ToAPipeThatNobodyReadsRaisesNoSignal) {
  StderrPipe pipe;
  pipe.nobody_reads();
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { pipes_broken = pipes_broken + 1; };
  sigaction(SIGPIPE, &counting, &before);
  LOG_ERROR("lost");
  EXPECT_EQ(pipes_broken, 0);
  raise(SIGPIPE);
  EXPECT_EQ(pipes_broken, 1) << "one that is not ours comes through";
  sigaction(SIGPIPE, &before, nullptr);
}

TEST(Log, LeavesASignalThatWasPendingBefore) {
  StderrPipe pipe;
  pipe.nobody_reads();
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  raise(SIGPIPE);
  LOG_ERROR("lost");
  constexpr timespec kNow{0, 0};
  EXPECT_EQ(sigtimedwait(&set, nullptr, &kNow), SIGPIPE);
  EXPECT_EQ(sigtimedwait(&set, nullptr, &kNow), -1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace sio::internal
