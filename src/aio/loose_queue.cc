// SPDX-License-Identifier: BSD-2-Clause
#include "aio/loose_queue.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "control/control_thread.h"

namespace sio::internal {
namespace {

// When signals can not be queued or threads not be made: until the next attempt.
constexpr milliseconds kAgain{10};

// As sigqueue(3), but says what it is about.
int send_signal(const sigevent& notice) noexcept {
  siginfo_t info{};
  info.si_signo = notice.sigev_signo;
  info.si_code = SI_ASYNCIO;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value = notice.sigev_value;
  const long result = syscall(SYS_rt_sigqueueinfo, getpid(), notice.sigev_signo, &info);
  return result == 0 ? 0 : -errno;
}

struct Call {
  void (*function)(sigval);
  sigval value;
};

// The thread is the program's: signals can reach it, unlike the one that started it.
void* run_call(void* argument) {
  const auto* const made = static_cast<Call*>(argument);
  const Call call = *made;
  delete made;
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  call.function(call.value);
  return nullptr;
}

int start_thread(const sigevent& notice) noexcept {
  auto* const call = new (std::nothrow) Call{notice.sigev_notify_function, notice.sigev_value};
  if (call == nullptr) return -ENOMEM;
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  const auto* const wish = static_cast<pthread_attr_t*>(notice.sigev_notify_attributes);
  // Asked now: once the thread has called the program that may give up its attributes.
  int state = PTHREAD_CREATE_DETACHED;
  if (wish != nullptr) pthread_attr_getdetachstate(wish, &state);
  pthread_t thread;
  const int error = pthread_create(&thread, wish != nullptr ? wish : &detached, run_call, call);
  pthread_attr_destroy(&detached);
  if (error == 0 && state == PTHREAD_CREATE_JOINABLE) pthread_detach(thread);  // nobody knows it
  if (error != 0) delete call;
  return -error;
}

}  // namespace

LooseQueue& LooseQueue::instance() {
  static LooseQueue* const queue = new LooseQueue;
  return *queue;
}

void LooseQueue::open() {
  if (bell_) return;
  OwnFd bell(check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  watch(bell.get());
  bell_ = std::move(bell);
}

void LooseQueue::watch(int fd) {
  ControlThread::instance().watch(fd, [] { instance().serve(); });
}

int LooseQueue::shared_ring() {
  const std::lock_guard lock(mutex_);
  open_ring();
  return ring_fd();
}

void LooseQueue::conclude(Request& request, const Channel&) noexcept {
  const std::lock_guard lock(mutex_);
  end(request);
}

void LooseQueue::tell(Request& request) noexcept {
  if (request.notice().sigev_notify == SIGEV_NONE) return recycle(request);
  ended_.push_back(request);
  [[maybe_unused]] const int result = eventfd_write(bell_.get(), 1);
}

void LooseQueue::serve() noexcept {
  {
    const std::lock_guard lock(mutex_);
    take_ended();
    eventfd_t count;
    if (bell_) [[maybe_unused]]
      const int result = eventfd_read(bell_.get(), &count);
  }
  give_notice();
}

// In the control thread, and without the lock: the program's handler may be running in another
// thread before this returns, and make calls.
void LooseQueue::give_notice() noexcept {
  Completions failed;
  std::unique_lock lock(mutex_);
  while (!ended_.empty()) {
    auto& request = static_cast<Request&>(ended_.front());
    ended_.pop_front();
    lock.unlock();
    const int result = give_notice(request.notice());
    lock.lock();
    if (result == 0) {
      recycle(request);
    } else {
      LOG_DEBUG("the end of a request can not be told yet: %s", errno_text(-result));
      failed.push_back(request);
    }
  }
  if (failed.empty()) return;
  ended_.splice(ended_.begin(), failed);
  try {
    ControlThread::instance().at(Clock::now() + kAgain, [] { instance().give_notice(); });
  } catch (const std::exception& error) {
    LOG_ERROR("the end of a request is told when the next one ends: %s", error.what());
  }
}

int LooseQueue::give_notice(const sigevent& notice) noexcept {
  return notice.sigev_notify == SIGEV_SIGNAL ? send_signal(notice) : start_thread(notice);
}

}  // namespace sio::internal
