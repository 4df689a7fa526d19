// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/completion.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "provider/soft/attendant.h"

namespace sio::internal::provider::soft {
namespace {

// So few connections are read from without asking which has something.
constexpr size_t kFew = 2;
constexpr int kMostReady = 64;
// Rounds without a frame that an acknowledgement could have gone along with, before it goes alone.
// Of a stream of 64 KiB each message was acknowledged alone with 1, one in five with 16.
constexpr unsigned kPatience = 16;

}  // namespace

// ------------------------------------------------------------------------------------- queue

SoftCompletionQueue::SoftCompletionQueue(SoftCompletionChannel& channel, uint32_t entries)
    : channel_(channel), capacity_(entries), entries_(entries) {}

SoftCompletionQueue::~SoftCompletionQueue() {
  const std::lock_guard lock(channel_.mutex());
  set_armed(Armed::kNot);
}

void SoftCompletionQueue::set_armed(Armed armed) noexcept {
  if ((armed == Armed::kNot) != (armed_ == Armed::kNot)) channel_.armed(armed != Armed::kNot);
  armed_ = armed;
}

int SoftCompletionQueue::poll(int n, ibv_wc* wc) noexcept {
  const std::lock_guard lock(channel_.mutex());
  if (head_ == tail_) channel_.advance(this);
  int taken = 0;
  for (; taken < n && head_ != tail_; ++taken) wc[taken] = entries_[head_++];
  // What came while it was armed, and was not announced since it was being looked for: that is made
  // up for when some of it is left, or when it keeps the connections in the epoll set for nobody.
  const bool came = taken > 0 && armed_ != Armed::kNot;
  if (came && (head_ != tail_ || channel_.is_hot())) {
    set_armed(Armed::kNot);
    channel_.notify();
  }
  return taken;
}

int SoftCompletionQueue::arm(bool solicited_only) noexcept {
  const std::lock_guard lock(channel_.mutex());
  set_armed(solicited_only && armed_ != Armed::kAll ? Armed::kSolicited : Armed::kAll);
  channel_.acknowledge_all();
  return channel_.look();
}

int SoftCompletionQueue::resize(uint32_t entries) noexcept {
  const std::lock_guard lock(channel_.mutex());
  if (entries < tail_ - head_) return -EINVAL;
  try {
    Cyclic<ibv_wc> resized(entries);
    for (uint64_t i = head_; i != tail_; ++i) resized[i] = entries_[i];
    entries_ = std::move(resized);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  capacity_ = entries;
  return 0;
}

void SoftCompletionQueue::push(const ibv_wc& wc, bool solicited) noexcept {
  if (tail_ - head_ == capacity_) {
    LOG_ERROR("soft: a completion queue of %u entries overruns", capacity_);
    return;
  }
  entries_[tail_++] = wc;
  if (channel_.is_polling(this) || armed_ == Armed::kNot) return;
  if (armed_ == Armed::kSolicited && !solicited) return;
  set_armed(Armed::kNot);
  channel_.notify();
}

// ----------------------------------------------------------------------------------- channel

SoftCompletionChannel::SoftCompletionChannel(Attendant& attendant)
    : attendant_(attendant),
      epoll_(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      notification_(check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  check_errno(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, notification_.get(), &event), "epoll_ctl");
  attendant_.add(this);
}

SoftCompletionChannel::~SoftCompletionChannel() { attendant_.remove(this); }

std::unique_ptr<CompletionQueue> SoftCompletionChannel::create_queue(uint32_t entries) {
  return std::make_unique<SoftCompletionQueue>(*this, entries);
}

void SoftCompletionChannel::notify() noexcept {
  notified_ = true;
  [[maybe_unused]] const int result = eventfd_write(notification_.get(), 1);
}

// One descriptor tells of all queues, so one reading takes what all of them have to tell.
bool SoftCompletionChannel::take_notifications(unsigned) noexcept {
  if (!notified_.exchange(false)) return true;
  eventfd_t count;
  [[maybe_unused]] const int result = eventfd_read(notification_.get(), &count);
  return true;
}

void SoftCompletionChannel::add(Attended* pair) {
  owing_.reserve(pairs_.size() + 1);
  starving_.reserve(pairs_.size() + 1);
  pairs_.push_back(pair);
}

void SoftCompletionChannel::remove(Attended* pair) noexcept {
  std::erase(pairs_, pair);
  owes_no_more(pair);
  starves_no_more(pair);
}

int SoftCompletionChannel::watch(Attended* pair, int fd, uint32_t events) noexcept {
  if (away_) return 0;
  epoll_event event{};
  event.events = events;
  event.data.ptr = pair;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void SoftCompletionChannel::change(Attended* pair, int fd, uint32_t events) noexcept {
  if (away_) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = pair;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void SoftCompletionChannel::forget(int fd) noexcept {
  if (!away_) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void SoftCompletionChannel::armed(bool one_more) noexcept {
  one_more ? ++armed_queues_ : --armed_queues_;
  polls_ = 0;
}

// The attendant looks again when the program no longer polls.
void SoftCompletionChannel::look_away() noexcept {
  for (const Attended* pair : pairs_) {
    if (const Attended::Watched watched = pair->watched(); watched.events != 0) forget(watched.fd);
  }
  away_ = true;
  want_ticks();
}

// What fails here is tried again at the next tick, until when the attendant moves what there is.
int SoftCompletionChannel::look() noexcept {
  if (!std::exchange(away_, false)) return 0;
  int error = 0;
  for (Attended* pair : pairs_) {
    const Attended::Watched watched = pair->watched();
    if (watched.events == 0) continue;
    const int result = watch(pair, watched.fd, watched.events);
    if (result != 0 && result != -EEXIST) error = result;
  }
  if (error != 0) look_away();  // none is to be there that may go unnoticed
  return error;
}

template <typename Which>
void SoftCompletionChannel::acknowledge_those(Which which) noexcept {
  // Who can not, since its stream takes no more now, stays in the list.
  for (size_t i = 0; i < owing_.size();) {
    Attended* const pair = owing_[i];
    if (which(*pair)) pair->acknowledge();
    if (i < owing_.size() && owing_[i] == pair) ++i;
  }
}

void SoftCompletionChannel::advance(const SoftCompletionQueue* polling) noexcept {
  ++advances_;
  if (polling != nullptr) ++polls_;
  polling_ = polling;
  if (pairs_.size() <= kFew) {
    if (!away_ && armed_queues_ == 0 && is_hot()) look_away();
    for (Attended* pair : pairs_) busy_ |= pair->advance();
  } else {
    look();
    epoll_event ready[kMostReady];
    const int n = epoll_wait(epoll_.get(), ready, kMostReady, 0);
    for (int i = 0; i < n; ++i) {
      auto* pair = static_cast<Attended*>(ready[i].data.ptr);
      if (pair != nullptr) busy_ |= pair->advance();
    }
  }
  if (!starving_.empty()) feed_the_starving();
  polling_ = nullptr;
  acknowledge_those([this](Attended& pair) { return pair.took_at() + kPatience < advances_; });
}

// Nothing tells the epoll set that there are shared receives again.
void SoftCompletionChannel::feed_the_starving() noexcept {
  for (size_t i = 0; i < starving_.size();) {
    Attended* const pair = starving_[i];
    busy_ |= pair->advance();
    if (i < starving_.size() && starving_[i] == pair) ++i;
  }
}

void SoftCompletionChannel::acknowledge_all() noexcept {
  acknowledge_those([](Attended&) { return true; });
}

void SoftCompletionChannel::owes(Attended* pair) noexcept {
  owing_.push_back(pair);  // has room for all pairs
  want_ticks();
}

void SoftCompletionChannel::sent(uint32_t n) noexcept {
  outstanding_ += n;
  busy_ = true;
  want_ticks();
}

// ----------------------------------------------------------------------------- for the attendant

void SoftCompletionChannel::want_ticks() noexcept {
  if (ticking_) return;
  ticking_ = true;
  advances_at_tick_ = advances_;
  attendant_.start_ticking();
}

bool SoftCompletionChannel::begin_ticking() noexcept {
  const std::lock_guard lock(mutex_);
  epoll_event ready[2];  // one of them may be the notification
  const int n = epoll_wait(epoll_.get(), ready, 2, 0);
  const bool moves = std::any_of(ready, ready + std::max(n, 0), [](const epoll_event& event) {
    return event.data.ptr != nullptr;
  });
  if (moves) want_ticks();
  return moves || ticking_;
}

bool SoftCompletionChannel::tick(bool look_for_dead_links) noexcept {
  // Who holds it moves things just now. To wait for it would cost that thread a system call each
  // time that it gives it up.
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock && !look_for_dead_links) return true;
  if (!lock) lock.lock();
  if (!ticking_) return false;
  if (advances_ == advances_at_tick_) {
    polls_ = 0;
    look();
    advance(nullptr);
  }
  acknowledge_all();
  advances_at_tick_ = advances_;
  if (look_for_dead_links && outstanding_ > 0) {
    for (Attended* pair : pairs_) pair->look_for_dead_link();
  }
  if (!busy_ && outstanding_ > 0) {
    for (Attended* pair : pairs_) pair->ask();
  }
  ticking_ = outstanding_ > 0 || !owing_.empty() || busy_ || away_;
  busy_ = false;
  return ticking_;
}

}  // namespace sio::internal::provider::soft
