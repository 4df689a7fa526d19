// SPDX-License-Identifier: BSD-2-Clause
#include "event/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/stable_pool.h"
#include "config/settings.h"
#include "control/control_thread.h"
#include "event/caretaker.h"
#include "event/descriptor_table.h"

namespace sio::internal {
namespace {

// epoll_event.data of what is not a descriptor of the program.
constexpr uint64_t kOurs = uint64_t{1} << 63;
constexpr uint64_t kKick = kOurs;
constexpr uint64_t kNotification = kOurs | 1;
constexpr uint64_t kRequests = kOurs | 2;

// A program that polls is not to pay for the arming (two system calls, and two more at the next
// completion) because one message took longer than others; so it is left alone for this long at
// least. Every so many sights of emptiness the clock is asked.
constexpr milliseconds kPollingSpin{1};
constexpr unsigned kClockEvery = 16;

// How often a call looks for completions when the program polls: a call costs three times as much
// as a look, and what lies between two looks is latency.
constexpr unsigned kLooks = 4;

StablePool<Channel>& pool() {
  static auto* const channels = new StablePool<Channel>;
  return *channels;
}

void add_to_epoll(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

// In nanoseconds where the kernel can (5.11); else in milliseconds, rounded up so that a time-out
// is never early.
int wait_for_epoll(int epoll, epoll_event* ready, int most, const timespec* timeout) noexcept {
  const int n = epoll_pwait2(epoll, ready, most, timeout, nullptr);
  if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
  const int ms =
      timeout == nullptr
          ? -1
          : static_cast<int>(std::min<long long>(
                timeout->tv_sec * 1000LL + (timeout->tv_nsec + 999'999) / 1'000'000, 3'600'000));
  return epoll_wait(epoll, ready, most, ms);
}

}  // namespace

Channel* Channel::open(OwnFd&& epoll, const ChannelOptions& options) {
  // All that can fail comes before the object is touched.
  OwnFd kick(check_errno(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  add_to_epoll(epoll.get(), kick.get(), EPOLLIN, kKick);
  EventRing ring(options.ring, options.entries);
  Channel* channel = pool().take();
  const Lock lock(channel->mutex_);
  ++channel->generation_;
  channel->hub_.emplace(epoll.get(), kNotification, options.hidden == nullptr,
                        [channel](int fd) { channel->forget_closed_fd(fd); });
  channel->ring_.emplace(std::move(ring));
  channel->sources_.emplace(epoll.get());
  channel->epoll_ = std::move(epoll);
  channel->kick_ = std::move(kick);
  channel->hidden_ = options.hidden;
  channel->spin_.set_limit(microseconds(settings().spin_us));
  channel->wake_all_ = (options.flags & EC_WAKE_ALL) != 0;
  channel->overflow_signal_ = options.overflow_signal;
  channel->overflow_told_ = channel->strict_ = channel->armed_ = channel->leading_ = false;
  channel->claimed_ = channel->changed_ = channel->closed_ = false;
  channel->care_ = Care::kNone;
  channel->care_rests_ = channel->care_by_leader_ = false;
  channel->took_kick_ = channel->apart_ = false;
  channel->kicked_ = true;  // invariant 2: not armed, so readable
  channel->told_ = 0;
  channel->empties_ = 0;
  channel->attached_ = channel->lingering_ = channel->tended_ = channel->relied_on_ = 0;
  return channel;
}

ChannelGuard ChannelGuard::of(ec_t ec) {
  for (;;) {
    Channel* channel = DescriptorTable::instance().channel(ec);
    if (channel == nullptr) return {};
    ChannelGuard guard(channel);
    if (DescriptorTable::instance().channel(ec) == channel) return guard;
  }
}

bool Channel::progress() noexcept {
  ++activity_;
  const bool any = hub_->poll() > 0;
  changed_ |= any;
  look_at_requests();
  if (!held_back_.empty()) emit_held_back();
  return any;
}

// ------------------------------------------------------------------------------------- events

void Channel::offer(EventSource* source) noexcept {
  changed_ = true;
  if (hidden() || closed_ || source->is_linked() || source->emit(*ring_)) return;
  held_back_.push_back(*source);
  signal_overflow();
}

void Channel::emit_held_back() noexcept {
  // Each has its turn; who is not done goes on waiting, behind the others.
  size_t left = held_back_.size();
  while (left-- > 0 && !ring_->full()) {
    EventSource& source = held_back_.front();
    held_back_.pop_front();
    if (!source.emit(*ring_)) held_back_.push_back(source);
  }
}

void Channel::forget(EventSource* source) noexcept {
  if (source->is_linked()) held_back_.erase(held_back_.iterator_to(*source));
  ring_->disown(source);
}

void Channel::signal_overflow() noexcept {
  if (overflow_signal_ == 0 || overflow_told_) return;
  overflow_told_ = true;
  ::kill(getpid(), overflow_signal_);
}

void Channel::taken(const EventNote& note) noexcept {
  note.source->taken(note);
  if (note.kind >= EC_ACCEPT) return;  // a socket's
  auto* source = static_cast<AddedSource*>(note.source);
  switch (source->after_taken()) {
    case AddedSource::Next::kNothing:
      break;
    case AddedSource::Next::kOffer:
      offer(source);
      break;
    case AddedSource::Next::kRearm:
      sources_->rearm_later(*source);
      break;
    case AddedSource::Next::kEnd:
      del_source(source->id());
      break;
  }
}

int Channel::next_events(event_data_t* events, int n) noexcept {
  if (ring_->empty()) {
    harvest();
    progress();
    for (unsigned looks = 1; ring_->empty() && looks < kLooks && !is_armed(); ++looks) progress();
    if (ring_->empty() && saw_empty()) return -EAGAIN;
  }
  int taken = 0;
  EventNote note;
  while (taken < n && ring_->pop(events[taken], note)) {
    ++taken;
    if (note.source != nullptr) this->taken(note);
  }
  if (!held_back_.empty()) emit_held_back();
  if (leading_) sources_->rearm();  // this thread may not come back before that one wakes
  if (taken == 0) return -EAGAIN;
  empties_ = 0;
  // This thread goes on until EAGAIN: what is left wakes nobody else but who waits in ec_delay.
  claimed_ = waiters_.empty() && !leading_;
  return taken;
}

int Channel::post(uint64_t value, void* cookie) noexcept {
  if (ring_->full()) return -EAGAIN;
  event_data_t& event = ring_->push({nullptr, EC_USER, 0, 0});
  event = {};
  event.kind = EC_USER;
  event.fd = -1;
  event.cookie = cookie;
  event.value = value;
  return 0;
}

// ------------------------------------------------------------------------------------ waiting

bool Channel::spinning() noexcept {
  if (strict_ || hub_->empty()) return false;
  if (++empties_ % kClockEvery != 0) return spin_.limit() > nanoseconds(0);
  if (empties_ == kClockEvery) empty_since_ = Clock::now();
  // A hidden channel's descriptor is the socket's, which programs sleep on without asking for it.
  const nanoseconds least = hidden() ? nanoseconds(0) : kPollingSpin;
  const nanoseconds limit = std::max(least, spin_.limit());
  return Clock::now() - empty_since_ < limit;
}

bool Channel::saw_empty() noexcept {
  overflow_told_ = false;
  if (is_armed()) return true;
  // While it spins the descriptor stays readable, or armed for all that could come.
  if (!hub_->armed_for_too_little() && spinning()) return true;
  arm();
  harvest();
  while (progress() && (hidden() ? !hidden_->readable() : ring_->empty())) arm();
  return hidden() ? !hidden_->readable() : ring_->empty();
}

// Takes what made the descriptor readable and arms everything. The caller looks once more.
void Channel::arm() noexcept {
  hub_->before_sleep();
  if (kicked_ &&
      (!leading_ || apart_)) {  // else it is for the one who sleeps: it may not have woken
    eventfd_t count;
    [[maybe_unused]] const int result = eventfd_read(kick_.get(), &count);
    kicked_ = false;
    took_kick_ = true;
  }
  if (hub_->needs_arming()) hub_->arm();
  armed_ = true;
}

// Somebody may sleep who armed for solicited completions only, when nothing was posted yet.
void Channel::arm_for_what_was_posted() noexcept {
  if (!hub_->armed_for_too_little()) return;
  hub_->arm_for_all();
  while (progress()) {
  }
}

void Channel::arm_for_others() noexcept {
  arm();
  while (progress()) arm();
  // This thread takes nothing: what was there before stays to be seen by who sleeps on it.
  if (has_content()) kick();
}

void Channel::kick() noexcept {
  if (kicked_) return;
  kicked_ = true;
  [[maybe_unused]] const int result = eventfd_write(kick_.get(), 1);
}

int Channel::sleep(Lock& lock, TimePoint deadline) noexcept {
  epoll_event ready[kMostReady];
  timespec left{};
  if (deadline != kNever) left = time_until(deadline);
  const uint64_t generation = generation_;
  const int epoll = epoll_.get();
  lock.unlock();
  const int n = wait_for_epoll(epoll, ready, kMostReady, deadline == kNever ? nullptr : &left);
  const int error = n < 0 ? errno : 0;
  lock.lock();
  if (generation_ != generation) return -EBADF;
  take_ready(ready, std::max(n, 0));
  return error == EINTR ? -EINTR : 0;
}

// As sleep(), but for completions and wake_apart() only.
int Channel::sleep_apart(Lock& lock, TimePoint deadline) noexcept {
  pollfd entries[CompletionHub::kMostDevices + 1];
  nfds_t n = 0;
  hub_->for_each_descriptor([&](int fd) { entries[n++] = {fd, POLLIN, 0}; });
  if (!wake_apart_) wake_apart_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_apart_) {
    entries[n++] = {wake_apart_.get(), POLLIN, 0};
  } else {  // no descriptor is left: look again soon
    deadline = std::min(deadline, Clock::now() + milliseconds(1));
  }
  timespec left{};
  if (deadline != kNever) left = time_until(deadline);
  const uint64_t generation = generation_;
  lock.unlock();
  const int ready = ppoll(entries, n, deadline == kNever ? nullptr : &left, nullptr);
  const int error = ready < 0 ? errno : 0;
  lock.lock();
  if (generation_ != generation) return -EBADF;
  if (ready > 0) hub_->notified();
  eventfd_t count;
  if (wake_apart_) [[maybe_unused]]
    const int result = eventfd_read(wake_apart_.get(), &count);
  return error == EINTR ? -EINTR : 0;
}

void Channel::wake_apart() noexcept {
  if (wake_apart_) [[maybe_unused]]
    const int result = eventfd_write(wake_apart_.get(), 1);
}

int Channel::lead(Lock& lock, TimePoint deadline, WaitFor what) noexcept {
  leading_ = true;
  leader_waits_for_ = what;
  apart_ = what == WaitFor::kState && has_content();
  took_kick_ = false;
  if (apart_) kick();
  const uint64_t generation = generation_;
  sources_->rearm();  // of events that were taken after this thread looked last
  const int result = apart_ ? sleep_apart(lock, deadline) : sleep(lock, deadline);
  if (generation_ == generation) {
    leading_ = apart_ = false;
    left_.reset();
    if (std::exchange(care_by_leader_, false)) cared_for(Care::kNone);
  }
  return result;
}

// Wakes as many threads as there are new events: those on futexes first, then the leader, then
// whoever may sleep on the descriptor.
void Channel::tell() noexcept {
  if (!armed_ && waiters_.empty()) {  // nobody sleeps
    told_ = ring_->pushed();
    claimed_ = changed_ = false;
    return;
  }
  size_t fresh = untold();
  told_ = ring_->pushed();
  claimed_ = false;
  if (changed_ && !waiters_.empty()) waiters_.wake_all(WaitFor::kState);
  const bool leader_looks = leading_ && changed_ && leader_waits_for_ == WaitFor::kState;
  changed_ = false;
  if (leader_looks && apart_) wake_apart();
  bool unheard = leader_looks && !apart_;
  if (fresh > 0) {
    if (wake_all_) waiters_.wake_all(WaitFor::kEvent);
    while (fresh > 0 && waiters_.wake_one(WaitFor::kEvent)) --fresh;
    unheard |= (fresh > 0 || wake_all_) && !ring_->empty();
  }
  if (hidden() && !closed_ && hidden_->readable()) unheard = true;
  if (armed_ && unheard) kick();
}

void Channel::wake_and_hand_over(Lock& lock) noexcept {
  if (!ring_) return;  // locked by somebody who knew it before it went back to the pool
  arm_for_what_was_posted();
  if (ring_->pushed() != told_ || changed_) tell();
  if (std::exchange(took_kick_, false) && has_content()) kick();
  claimed_ = false;
  if (wants_care()) {
    care_ = needed_care();
    care_rests_ = care_by_leader_ = false;
    ++care_turn_;
    take_care_of(this);
  }
  if (closed_ && !leading_ && lingering_ == 0 && attached_ == 0) dispose(lock);
}

// Gives the object back to the pool, without the lock, as it will be locked when it is taken.
// Not while a thread is in epoll_wait: closing the descriptors would not wake it.
void Channel::dispose(Lock& lock) noexcept {
  ++generation_;
  if (care_ != Care::kNone) forget_care();
  extension_.reset();
  hub_.reset();
  ring_.reset();
  held_back_.clear();
  sources_.reset();
  requests_.reset();
  kick_.reset();
  wake_apart_.reset();
  epoll_.reset();
  closed_ = false;
  lock.unlock();
  pool().give_back(this);
}

// The completions' descriptors, not the channel's own, which is readable as long as there is
// something for the program.
bool Channel::care_when_ready(const Task& look) {
  hub_->for_each_descriptor([&](int fd) { ControlThread::instance().watch_once(fd, look); });
  return !hub_->empty();
}

void Channel::forget_care() noexcept {
  hub_->for_each_descriptor([](int fd) { ControlThread::instance().unwatch(fd); });
}

OwnFd Channel::close_and_keep_descriptor() noexcept {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, kick_.get(), nullptr);
  closed_ = true;
  return std::move(epoll_);
}

int Channel::close() {
  if (attached_ > 0 || (requests_ != nullptr && requests_->under_way())) return -EBUSY;
  if (lingering_ > 0) {
    // The sockets go on under another number: this one is the program's to see closed now.
    OwnFd other(check_errno(fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0), "fcntl"));
    hub_->set_epoll_fd(other.get());
    DescriptorTable::instance().clear(epoll_.get());
    // A thread that sleeps on the old number is to wake before another descriptor can have it.
    if (leading_) left_ = std::move(epoll_);
    epoll_ = std::move(other);
  } else if (!hidden()) {
    DescriptorTable::instance().clear(epoll_.get());
  }
  closed_ = true;
  for (EventSource& source : held_back_) source.channel_closed();
  ring_->for_each_source([](EventSource* source) { source->channel_closed(); });
  while (!waiters_.empty()) waiters_.wake_any();
  if (leading_) kick();
  if (apart_) wake_apart();
  return 0;
}

// ------------------------------------------------------------------------- what is no socket

void Channel::take_ready(const epoll_event* ready, int n) noexcept {
  for (int i = 0; i < n; ++i) {
    // Perhaps of a completion that has been taken: then nothing but this tells of it.
    if (ready[i].data.u64 == kNotification) hub_->notified();
    if (ready[i].data.u64 == kRequests) look_at_requests();
    if ((ready[i].data.u64 & kOurs) != 0) continue;
    AddedSource* source = sources_->named(ready[i].data.u64);
    if (source == nullptr) continue;
    source->becomes_ready(ready[i].events);
    offer(source);
  }
}

// What the sources have to say. Those whose event was taken are armed again first.
void Channel::harvest() noexcept {
  if (sources_->empty()) return;
  sources_->rearm();
  epoll_event ready[kMostReady];
  take_ready(ready, std::max(epoll_wait(epoll_.get(), ready, kMostReady, 0), 0));
}

int Channel::add_fd(int fd, uint32_t events, void* cookie) {
  int result = sources_->add_fd(fd, events, cookie);
  if (result == -ESTALE) {
    del_fd(fd);
    result = sources_->add_fd(fd, events, cookie);
  }
  return result;
}

int Channel::mod_fd(int fd, uint32_t events, void* cookie) noexcept {
  FdSource* source = sources_->find_fd(fd);
  if (source == nullptr) return fcntl(fd, F_GETFD) < 0 ? -EBADF : -ENOENT;
  drop(source);
  source->dropped();
  return sources_->mod_fd(*source, events, cookie);
}

int Channel::del_fd(int fd) noexcept {
  FdSource* source = sources_->find_fd(fd);
  if (source == nullptr) return -ENOENT;
  drop(source);
  forget(source);
  sources_->remove_fd(*source);
  return 0;
}

int Channel::add_source(Sources::Owner source) {
  if (source->fd() >= 0) forget_closed_fd(source->fd());
  return sources_->add(std::move(source));
}

void Channel::drop(AddedSource* source) noexcept {
  ring_->drop(source, [](const EventNote&) { return true; });
}

Sources::Owner Channel::del_source(int id) noexcept {
  Sources::Owner source = sources_->remove(id);
  if (source) {
    drop(source.get());
    forget(source.get());
  }
  return source;
}

void Channel::set_requests(std::unique_ptr<RequestSource> requests) noexcept {
  requests_ = std::move(requests);
}

void Channel::run() noexcept {
  const ChannelGuard guard(this);
  if (!ring_) return;
  look_at_requests();
  if (extension_ != nullptr) extension_->look();
}

void Channel::watch_requests(int fd) {
  forget_closed_fd(fd);
  add_to_epoll(epoll_.get(), fd, EPOLLIN, kRequests);
}

std::unique_ptr<RequestSource> Channel::del_requests() noexcept {
  if (requests_ != nullptr) {
    drop(requests_.get());
    forget(requests_.get());
  }
  return std::move(requests_);
}

Sources::Owners Channel::del_sources() noexcept {
  Sources::Owners all = sources_->remove_all();
  for (const auto& [id, source] : all) {
    drop(source.get());
    forget(source.get());
  }
  return all;
}

}  // namespace sio::internal
