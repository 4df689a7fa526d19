// SPDX-License-Identifier: BSD-2-Clause
//
// A channel: an event ring, the completions of its sockets, plain descriptors, and the threads
// that wait for any of these. A socket in no channel has a hidden one, whose ring takes nothing.
//
// 1. One lock guards the channel and every socket in it. Channel objects are never freed
//    (base/stable_pool.h); whoever has locked one asks whether it is still what was looked for.
// 2. The channel's descriptor is its epoll descriptor. Whenever the channel is not armed that is
//    readable: a notification or the kick lies in it untaken. arm() takes them, arms, and the
//    caller looks once more: so no wake-up is lost, wherever a completion falls.
// 3. One thread at most leads: sleeps in epoll_wait. The others wait on futexes.
// 4. Whatever puts an event into an armed channel from elsewhere kicks it, once per arming; and
//    who takes the kick for an arming gives it back if there is something for the program.
// 5. calm_ is a memory: whoever does what ends it calls stir(). While the channel is calm, and
//    nobody puts anything into the ring, the end of a call has only to give up the lock.
// 6. Who waits for a socket's state sleeps apart while there are events that nobody has taken: the
//    descriptor is readable then, for others.
#pragma once

#include <sio/ec.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/deferred.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "control/task.h"
#include "event/completion_hub.h"
#include "event/descriptor_table.h"
#include "event/event_source.h"
#include "event/request_source.h"
#include "event/ring.h"
#include "event/sources.h"
#include "event/spin.h"
#include "event/waiters.h"

namespace sio::internal {

// What a layer above keeps with a channel.
class ChannelExtension {
 public:
  virtual ~ChannelExtension() = default;
  // What Channel::look_at_extension_later() and _at() are for. The lock is held.
  virtual void look() noexcept = 0;
};

// Whose the hidden channel is.
class HiddenOwner {
 public:
  virtual ~HiddenOwner() = default;
  virtual bool readable() const noexcept = 0;
};

struct ChannelOptions {
  unsigned flags = 0;  // EC_WAKE_ALL
  int overflow_signal = 0;
  event_data_t* ring = nullptr;  // NULL: the channel's own
  size_t entries = 0;
  HiddenOwner* hidden = nullptr;
};

class alignas(64) Channel : private Deferred {
 public:
  using Lock = std::unique_lock<Mutex>;

  // Takes over `epoll`, which becomes the channel's descriptor, unless it throws.
  static Channel* open(OwnFd&& epoll, const ChannelOptions& options);

  // The rest is called under the lock.
  Mutex& mutex() noexcept { return mutex_; }
  uint64_t generation() const noexcept { return generation_; }
  int fd() const noexcept { return epoll_.get(); }
  bool hidden() const noexcept { return state_.hidden; }
  // Whether that is still the program's channel.
  bool is(ec_t ec) const noexcept { return fd() == ec && !state_.closed && !state_.hidden; }
  bool closed() const noexcept { return state_.closed; }
  CompletionHub& hub() noexcept { return *hub_; }
  EventRing& ring() noexcept { return *ring_; }
  AdaptiveSpin& spin() noexcept { return spin_; }
  std::unique_ptr<ChannelExtension>& extension() noexcept { return extension_; }

  // Takes completions; true if there were any.
  bool progress() noexcept;
  // All that are there now, however many.
  void take_all() noexcept;

  // ec_next_events: the count, or -EAGAIN.
  [[gnu::always_inline]] int next_events(event_data_t* events, int n) noexcept {
    return ring_->empty() && !look_for_events() ? -EAGAIN : take_events(events, n);
  }

  // Whether there is nothing in the channel but sockets in their usual state, and nobody sleeps in
  // a call.
  bool is_calm() const noexcept { return calm_ && hub_->is_calm(); }
  // ec_next_event of a channel that is calm. From the ring; false: that is not all there is to it.
  [[gnu::always_inline]] bool take_one(event_data_t* event) noexcept {
    if (told_ != ring_->pushed() || !ring_->pop_unnoticed(*event)) return false;
    empties_ = 0;
    return true;
  }
  // And with an empty ring: looks a few times, for `at_rest` (CompletionHub::look). kGiven: *event
  // has not been in the ring.
  template <typename AtRest>
  [[gnu::always_inline]] CompletionHub::Look look_for_one(event_data_t* event,
                                                          AtRest at_rest) noexcept {
    ++activity_;
    unsigned left = is_armed() ? 1 : kLooks;
    CompletionHub::Look found;
    while ((found = hub_->look(event, at_rest)) == CompletionHub::Look::kNothing && --left > 0) {
    }
    if (found == CompletionHub::Look::kGiven) [[likely]] {
      empties_ = 0;
    } else {
      changed_ |= found == CompletionHub::Look::kOther;
    }
    return found;
  }
  // The same after looks without such an event: 0 or -EAGAIN.
  int look_on_for_one(CompletionHub::Look found, event_data_t* event) noexcept;
  // The end of a call that left the channel calm, and put nothing into the ring.
  [[gnu::always_inline]] void leave_calm() noexcept { mutex_.unlock(); }
  int post(uint64_t value, void* cookie) noexcept;
  // The descriptor will be slept on: arm at the first sight of emptiness, do not spin on it.
  void arm_strictly() noexcept { strict_ = true; }
  // The program was told that there is nothing. False: look again, something came meanwhile.
  bool saw_empty() noexcept;

  // Waits until `ready()`: 0, -ETIMEDOUT, -EINTR, or -EBADF if the channel has gone.
  template <typename Ready>
  int wait(Lock& lock, WaitFor what, TimePoint deadline, Ready ready);

  // A source has something to say.
  void offer(EventSource* source) noexcept;
  // A source goes: nothing of it is called any more. Its events stay in the ring but for those
  // that drop() took out before.
  void forget(EventSource* source) noexcept;
  // A socket's state changed: blocking calls look again.
  void changed() noexcept { changed_ = true; }

  // Plain descriptors: 0 or -errno.
  int add_fd(int fd, uint32_t events, void* cookie);
  int mod_fd(int fd, uint32_t events, void* cookie) noexcept;
  int del_fd(int fd) noexcept;
  // Other sources: the id or -errno. Who gets one back destroys it without the lock.
  int add_source(Sources::Owner source);
  AddedSource* find_source(int id) noexcept { return sources_->find(id); }
  Sources::Owner del_source(int id) noexcept;
  Sources::Owners del_sources() noexcept;
  // Requests; NULL: there were none yet.
  RequestSource* requests() const noexcept { return requests_.get(); }
  void set_requests(std::unique_ptr<RequestSource> requests) noexcept;
  // Has them look when this thread holds no lock, perhaps that of another channel.
  void look_at_requests_later() noexcept { note(); }
  void look_at_extension_later() noexcept { note(); }
  // The same at that time, in the control thread. False: there is no memory for it, as was logged.
  bool look_at_extension_at(TimePoint when) noexcept;
  // The channel wakes when `fd` is readable, and has them look. Throws.
  void watch_requests(int fd);
  // Who gets them destroys them without the lock.
  std::unique_ptr<RequestSource> del_requests() noexcept;

  // Sockets. A channel can be destroyed when none is attached; one that was closed and is not
  // done yet lingers, and keeps the object alive.
  void attach() noexcept { ++attached_; }
  void detach() noexcept { --attached_; }
  void linger() noexcept {
    --attached_;
    ++lingering_;
    ++cares_;
    stir();
  }
  void lingered() noexcept {
    --lingering_;
    --cares_;
  }
  // A socket goes on without the program's calls (what arrives is dropped, large messages are given
  // memory), or no longer does.
  void tend(bool on) noexcept { count_care(tended_, on); }
  // The same, and at once: the program waits for what happens here, but looks elsewhere.
  void rely_on(bool on) noexcept { count_care(relied_on_, on); }

  // A hidden channel whose socket moves elsewhere: gives up the descriptor and closes.
  OwnFd close_and_keep_descriptor() noexcept;

  // ec_destroy, and the end of a hidden channel's socket. 0 or -EBUSY.
  int close();

  // The end of every call, which gives up the lock: wakes who should wake, and hands what was left
  // behind to the control thread. Gives the channel back if that was its end.
  [[gnu::always_inline]] void leave() noexcept {
    if (!is_quiet()) return leave_unquiet();
    told_ = ring_->pushed();
    claimed_ = changed_ = false;
    if (!calm_) find_whether_calm();
    mutex_.unlock();
  }

  // For the caretaker (event/caretaker.h).
  enum class Care : uint8_t { kNone, kLeisurely, kPrompt, kAtOnce };
  Care needed_care() const noexcept {
    if (relied_on_ > 0) return Care::kAtOnce;
    if (hub_->holding() || lingering_ > 0) return Care::kPrompt;
    return tended_ > 0 ? Care::kLeisurely : Care::kNone;
  }
  uint64_t activity() const noexcept { return activity_; }
  // Of the caretaker that is to look after the channel now; earlier ones have been relieved.
  uint32_t care_turn() const noexcept { return care_turn_; }
  void cared_for(Care care) noexcept {
    care_ = care;
    care_rests_ = false;
  }
  // Nothing is to be done before there are completions, or something more is held. by_leader: the
  // thread that leads sees to these, for as long as it does.
  void care_rests(bool by_leader) noexcept {
    care_ = Care::kAtOnce;
    care_rests_ = true;
    care_by_leader_ = by_leader;
    holds_seen_ = hub_->holds();
  }
  // Has `look` called in the control thread once when completions come; false: none can be waited
  // for. And forgets that.
  bool care_when_ready(const Task& look) noexcept;
  void forget_care() noexcept;
  bool somebody_leads() const noexcept { return state_.leading; }
  // Arms on behalf of the threads that sleep on the descriptor. False: more keeps coming, and the
  // completions' descriptors need not tell of it.
  bool arm_for_others() noexcept;
  void send_held() noexcept { hub_->before_sleep(); }
  // Where something may be held for more to come to it: so long at most, after the last that came.
  // Two in a row are less than the 2 ms that the interface promises.
  static constexpr microseconds kTick{800};
  // What nothing has come to since the last tick leaves. Of a program that works on, by itself.
  void tick_in_passing(TimePoint now = Clock::now()) noexcept;
  // Until the next tick; kTick if there was none lately.
  microseconds time_to_tick() const noexcept;

 private:
  // How often a call looks for completions when the program polls: a call costs three times as much
  // as a look, and what lies between two looks is latency.
  static constexpr unsigned kLooks = 4;
  static constexpr int kMostReady = 64;
  // Every so many calls, or sights of emptiness, the clock is asked.
  static constexpr unsigned kClockEvery = 16;
  // Looks in a row behind an arming each, before others have their turn.
  static constexpr int kMostArmings = 16;
  // A program that polls is not to pay for the arming (two system calls, and two more at the next
  // completion) because one message took longer than others; so it is left alone for this long.
  static constexpr milliseconds kLeastPollingSpin{1};
  // epoll_event.data of what is not a descriptor of the program.
  static constexpr uint64_t kOurs = uint64_t{1} << 63;
  static constexpr uint64_t kKick = kOurs;
  static constexpr uint64_t kNotification = kOurs | 1;
  static constexpr uint64_t kRequests = kOurs | 2;

  // Has `epoll` tell of what there is to read. Throws std::system_error.
  static void watch(int epoll, int fd, uint64_t data);

  // Whoever sleeps is woken by whatever comes.
  bool is_armed() const noexcept { return armed_ && !kicked_ && !hub_->needs_arming(); }
  void arm() noexcept;
  template <typename Enough>
  bool look_behind_arming(Enough enough) noexcept;
  void arm_for_what_was_posted() noexcept;

  int give_way(Lock& lock) noexcept;
  int lead(Lock& lock, TimePoint deadline, WaitFor what) noexcept;
  int sleep(Lock& lock, TimePoint deadline) noexcept;
  int sleep_apart(Lock& lock, TimePoint deadline) noexcept;
  void wake_apart() noexcept;
  bool has_content() const noexcept {
    if (state_.closed) return false;
    return hidden() ? hidden_->readable() : !ring_->empty();
  }
  // Events that nobody was told of, but for one that this thread takes itself. It has no claim
  // while there is one in the ring that it was told of.
  size_t untold() const noexcept {
    const size_t first = std::max(told_, ring_->popped());
    const size_t fresh = ring_->pushed() - first;
    return fresh > 0 && claimed_ && ring_->popped() >= told_ ? fresh - 1 : fresh;
  }
  // The last look before this thread sleeps has found what others wait for.
  bool has_untold() const noexcept {
    return (ring_->pushed() != told_ || changed_) && (state_.leading || !waiters_.empty());
  }
  template <typename Ready>
  bool spin_until(Lock& lock, uint64_t generation, TimePoint deadline, Ready& ready);
  bool spinning() noexcept;
  void learn_whether_it_polls() noexcept;
  void harvest() noexcept;
  void run() noexcept override;
  void look_at_requests() noexcept {
    if (requests_ != nullptr && requests_->look()) offer(requests_.get());
  }
  void drop(AddedSource* source) noexcept;
  // A descriptor of the library's is about to be watched here. If the program had added one of that
  // number, it has closed it without a word: whatever is done to it by its number from now on would
  // be done to the library's.
  void forget_closed_fd(int fd) noexcept { del_fd(fd); }
  void device_joins(int fd) noexcept;
  void take_ready(const epoll_event* ready, int n) noexcept;
  bool look_for_events() noexcept;
  bool look_for_events_again() noexcept;
  int take_events(event_data_t* events, int n) noexcept;
  void taken(EventNote note) noexcept;
  void after_taking() noexcept;
  void emit_held_back() noexcept;
  // Mostly so: nobody sleeps here and nothing is new but what this thread takes itself.
  [[gnu::always_inline]] bool is_quiet() noexcept {
    return state_.is_usual() && waiters_.empty() && (ring_->empty() || untold() == 0) &&
           !is_care_due() && !hub_->armed_for_too_little();
  }
  void find_whether_calm() noexcept {
    calm_ = state_.is_usual() && waiters_.empty() && cares_ == 0 && sources_->empty() &&
            requests_ == nullptr && held_back_.empty();
  }
  void stir() noexcept { calm_ = false; }
  void count_care(int& reason, bool on) noexcept {
    reason += on ? 1 : -1;
    cares_ += on ? 1 : -1;
    stir();
  }
  bool wants_care() const noexcept {
    if (cares_ == 0 && !hub_->holding()) return false;
    const bool more = care_rests_ && hub_->holding() && hub_->holds() != holds_seen_;
    return care_ < needed_care() || more;
  }
  // Or the clock is to be asked whether a tick is due.
  bool is_care_due() noexcept {
    if (cares_ == 0 && !hub_->holding()) return false;
    return wants_care() || ++calls_ % kClockEvery == 0;
  }
  void leave_unquiet() noexcept;
  void dispose(Lock& lock) noexcept;
  void tell() noexcept;
  void kick() noexcept;
  void signal_overflow() noexcept;

  // What is not so mostly. The end of each call looks at all of it, at once.
  struct State {
    bool gone = true;  // back in the pool, and locked by somebody who knew it before
    bool closed = false;
    bool hidden = false;
    bool leading = false;    // a thread is in epoll_wait
    bool took_kick = false;  // the eventfd was taken for an arming, in this lock's hold
    bool unused[3] = {};

    bool is_usual() const noexcept { return std::bit_cast<uint64_t>(*this) == 0; }
  };

  // First what each message needs, in a few cache lines. Everything but the lock and the generation
  // is made anew by open().
  Mutex mutex_;
  bool calm_ = false;     // is_calm(), but for the hub; invariant 5
  bool armed_ = false;    // invariant 2
  bool kicked_ = false;   // the eventfd is set
  unsigned empties_ = 0;  // times in a row that it was seen empty
  OwnFd epoll_;
  uint64_t activity_ = 0;  // counts calls of progress
  size_t told_ = 0;        // ring_->pushed() when threads were last woken
  std::optional<CompletionHub> hub_;
  std::optional<EventRing> ring_;

  uint64_t generation_ = 0;  // of this use of the object
  State state_;
  OwnFd left_;        // its number before the channel was closed, while a thread sleeps on it
  OwnFd kick_;        // eventfd
  OwnFd wake_apart_;  // eventfd, made when a thread first sleeps apart
  std::unique_ptr<ChannelExtension> extension_;
  HiddenOwner* hidden_ = nullptr;
  Waiters waiters_;
  AdaptiveSpin spin_;
  std::optional<Sources> sources_;
  std::unique_ptr<RequestSource> requests_;
  HeldBack held_back_;  // in the order in which they get room
  TimePoint empty_since_{};
  unsigned looks_armed_ = 0;  // how often it was seen empty since it was armed
  milliseconds polling_spin_{};
  int attached_ = 0;
  int cares_ = 0;  // the sum of the next three
  int lingering_ = 0;
  int tended_ = 0;
  int relied_on_ = 0;
  int overflow_signal_ = 0;
  bool overflow_told_ = false;
  bool wake_all_ = false;
  bool strict_ = false;
  bool apart_ = false;  // or, leading, asleep without the channel's descriptor
  WaitFor leader_waits_for_ = WaitFor::kEvent;
  bool claimed_ = false;  // the thread that leaves now takes one event itself
  bool changed_ = false;
  Care care_ = Care::kNone;  // that it is given
  uint32_t care_turn_ = 0;
  bool care_rests_ = false;
  bool care_by_leader_ = false;
  uint64_t holds_seen_ = 0;  // of the hub's, when it came to rest
  unsigned calls_ = 0;       // while it needs care
  TimePoint ticked_{};
};

// False: there are none, and the program is told so.
[[gnu::always_inline]] inline bool Channel::look_for_events() noexcept {
  if (!sources_->empty()) harvest();
  progress();
  return !ring_->empty() || look_for_events_again();
}

[[gnu::always_inline]] inline int Channel::take_events(event_data_t* events, int n) noexcept {
  int count = 0;
  for (; count < n; ++count) {
    const EventNote* const note = ring_->pop(events[count]);
    if (note == nullptr) break;
    // Mostly a message, of which nobody wants to know.
    if (note->kind != EC_RECV && note->source != nullptr) taken(*note);
  }
  if (!held_back_.empty() || state_.leading) after_taking();
  if (count == 0) return -EAGAIN;
  empties_ = 0;
  // This thread goes on until EAGAIN: what is left wakes nobody else but who waits in ec_delay.
  claimed_ = waiters_.empty() && !state_.leading;
  return count;
}

}  // namespace sio::internal
