// SPDX-License-Identifier: BSD-2-Clause
#include "event/channel.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/stable_pool.h"
#include "config/settings.h"
#include "control/control_thread.h"
#include "event/caretaker.h"
#include "event/channel_guard.h"
#include "event/descriptor_table.h"

namespace sio::internal {
namespace {

StablePool<Channel>& pool() {
  static auto* const channels = new StablePool<Channel>;
  return *channels;
}

// What a hidden channel did not use, since its socket went into another one at once, as most do,
// is kept for the next: making and closing descriptors is a good part of what a connection takes.
std::atomic<int> spare_kick{-1};

// Readable.
OwnFd new_kick(bool hidden) {
  if (OwnFd spare(hidden ? spare_kick.exchange(-1) : -1); spare) return spare;
  return OwnFd(check_errno(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
}

void keep_kick(OwnFd&& kick) noexcept {
  int none = -1;
  if (spare_kick.compare_exchange_strong(none, kick.get())) kick.release();
}

}  // namespace

Channel* Channel::open(OwnFd&& epoll, const ChannelOptions& options) {
  // All that can fail comes before the object is touched.
  OwnFd kick = new_kick(options.hidden != nullptr);
  watch(epoll.get(), kick.get(), kKick);
  EventRing ring(options.ring, options.entries);
  Channel* channel = pool().take();
  const Lock lock(channel->mutex_);
  ++channel->generation_;
  channel->hub_.emplace(epoll.get(), kNotification,
                        [channel](int fd) { channel->device_joins(fd); });
  channel->ring_.emplace(std::move(ring));
  channel->sources_.emplace(epoll.get());
  channel->epoll_ = std::move(epoll);
  channel->kick_ = std::move(kick);
  channel->hidden_ = options.hidden;
  channel->calm_ = false;
  channel->state_ = {};
  channel->state_.gone = false;
  channel->state_.hidden = options.hidden != nullptr;
  channel->spin_.set_limit(microseconds(settings().spin_us));
  channel->wake_all_ = (options.flags & EC_WAKE_ALL) != 0;
  channel->overflow_signal_ = options.overflow_signal;
  channel->overflow_told_ = channel->strict_ = channel->armed_ = false;
  channel->claimed_ = channel->changed_ = false;
  channel->care_ = Care::kNone;
  channel->care_rests_ = channel->care_by_leader_ = false;
  channel->apart_ = false;
  channel->kicked_ = true;  // invariant 2: not armed, so readable
  channel->told_ = 0;
  channel->empties_ = channel->looks_armed_ = 0;
  channel->polling_spin_ = kLeastPollingSpin;
  channel->attached_ = 0;
  channel->cares_ = channel->lingering_ = channel->tended_ = channel->relied_on_ = 0;
  return channel;
}

ChannelGuard ChannelGuard::of(ec_t ec) {
  for (;;) {
    Channel* channel = DescriptorTable::instance().channel(ec);
    if (channel == nullptr) return {};
    ChannelGuard guard(channel);
    if (channel->is(ec)) return guard;
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

void Channel::take_all() noexcept {
  const uint64_t most = hub_->capacity();  // what comes meanwhile may never end
  for (uint64_t taken = 0; progress() && taken < most;) taken += CompletionHub::kMostAtOnce;
}

// ------------------------------------------------------------------------------------- events

void Channel::offer(EventSource* source) noexcept {
  changed_ = true;
  if (hidden() || state_.closed || source->is_linked() || source->emit(*ring_)) return;
  held_back_.push_back(*source);
  stir();
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

[[gnu::noinline]] void Channel::taken(EventNote note) noexcept {
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

[[gnu::noinline]] int Channel::look_on_for_one(CompletionHub::Look found,
                                               event_data_t* event) noexcept {
  if (found == CompletionHub::Look::kNothing && saw_empty()) return -EAGAIN;
  const int count = next_events(event, 1);
  return count < 0 ? count : 0;
}

[[gnu::noinline]] bool Channel::look_for_events_again() noexcept {
  const bool polls = !is_armed();
  for (unsigned looks = 1; polls && ring_->empty() && looks < kLooks; ++looks) progress();
  return !ring_->empty() || !saw_empty();
}

[[gnu::noinline]] void Channel::after_taking() noexcept {
  if (!held_back_.empty()) emit_held_back();
  if (state_.leading) sources_->rearm();  // this thread may not come back before that one wakes
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

// ------------------------------------------------------------------- the end of a call, and of all

void Channel::tick_in_passing(TimePoint now) noexcept {
  if (now - ticked_ < kTick) return;
  ticked_ = now;
  hub_->tick();
}

microseconds Channel::time_to_tick() const noexcept {
  const auto left = std::chrono::ceil<microseconds>(ticked_ + kTick - Clock::now());
  return left > microseconds(0) ? left : kTick;
}

void Channel::leave_unquiet() noexcept {
  Lock lock(mutex_, std::adopt_lock);
  if (state_.gone) return;
  if (hub_->holding()) tick_in_passing();
  arm_for_what_was_posted();
  if (ring_->pushed() != told_ || changed_) tell();
  // Who leads apart from the descriptor did so for what was in the ring. Now somebody must be
  // there.
  if (apart_ && !has_content() && !waiters_.empty()) wake_apart();
  if (std::exchange(state_.took_kick, false) && has_content()) kick();
  claimed_ = false;
  if (wants_care()) {
    care_ = needed_care();
    care_rests_ = care_by_leader_ = false;
    ++care_turn_;
    take_care_of(this);
  }
  if (state_.closed && !state_.leading && lingering_ == 0 && attached_ == 0) dispose(lock);
}

// Gives the object back to the pool, without the lock, as it will be locked when it is taken.
// Not while a thread is in epoll_wait: closing the descriptors would not wake it.
void Channel::dispose(Lock& lock) noexcept {
  ++generation_;
  stir();
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
  state_.gone = true;
  lock.unlock();
  pool().give_back(this);
}

// The completions' descriptors, not the channel's own, which is readable as long as there is
// something for the program.
bool Channel::care_when_ready(const Task& look) noexcept {
  try {
    hub_->for_each_descriptor([&](int fd) { ControlThread::instance().watch_once(fd, look); });
    return !hub_->empty();
  } catch (const std::exception& error) {
    LOG_ERROR("a channel's completions are not waited for: %s", error.what());
    forget_care();
    return false;
  }
}

void Channel::forget_care() noexcept {
  hub_->for_each_descriptor([](int fd) { ControlThread::instance().unwatch(fd); });
}

// `fd`, its completions', is about to be watched. Who sleeps on the completions of others watches
// it from the next time on.
void Channel::device_joins(int fd) noexcept {
  forget_closed_fd(fd);
  if (apart_) wake_apart();
  if (care_rests_ && !care_by_leader_) cared_for(Care::kNone);
}

bool Channel::look_at_extension_at(TimePoint when) noexcept {
  const auto look = [this, generation = generation_] {
    const ChannelGuard guard(this);
    if (generation == this->generation() && extension_ != nullptr) extension_->look();
  };
  try {
    ControlThread::instance().at(when, look);
    return true;
  } catch (const std::exception& error) {
    LOG_ERROR("a later look at receive memory: %s", error.what());
    return false;
  }
}

OwnFd Channel::close_and_keep_descriptor() noexcept {
  stir();
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, kick_.get(), nullptr);
  if (kicked_) keep_kick(std::move(kick_));
  state_.closed = true;
  return std::move(epoll_);
}

int Channel::close() {
  if (attached_ > 0 || (requests_ != nullptr && requests_->under_way())) return -EBUSY;
  stir();
  if (lingering_ > 0) {
    // The sockets go on under another number: this one is the program's to see closed now.
    OwnFd other(check_errno(fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0), "fcntl"));
    hub_->set_epoll_fd(other.get());
    DescriptorTable::instance().clear(epoll_.get());
    // A thread that sleeps on the old number is to wake before another descriptor can have it.
    if (state_.leading) left_ = std::move(epoll_);
    epoll_ = std::move(other);
  } else if (!hidden()) {
    DescriptorTable::instance().clear(epoll_.get());
  }
  state_.closed = true;
  for (EventSource& source : held_back_) source.channel_closed();
  ring_->for_each_source([](EventSource* source) { source->channel_closed(); });
  while (!waiters_.empty()) waiters_.wake_any();
  if (state_.leading) kick();
  if (apart_) wake_apart();
  return 0;
}

}  // namespace sio::internal
