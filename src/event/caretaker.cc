// SPDX-License-Identifier: BSD-2-Clause
#include "event/caretaker.h"

#include "base/log.h"
#include "control/control_thread.h"
#include "event/channel_guard.h"

namespace sio::internal {
namespace {

// When nothing is in a hurry, or nothing tells that there is something to do.
constexpr milliseconds kRest{20};

struct Charge {
  Channel* channel;
  uint64_t generation;  // of the channel's use: tells when it has gone
  uint64_t activity;    // of the program, as last seen
  TimePoint seen;       // when that was new
  uint32_t turn;        // of caretakers: tells when another has been called
  bool insists;         // on the lock, whoever has it
};

void look(Charge charge, ChannelGuard guard);
void look_when_notified(const Charge& charge);
void look_in_time(const Charge& charge);

microseconds pause_for(const Channel& channel, Channel::Care care) noexcept {
  if (care == Channel::Care::kAtOnce) return microseconds(0);
  return care == Channel::Care::kPrompt ? channel.time_to_tick() : kRest;
}

// False: there is no memory for that.
bool look_again_at(const Charge& charge, microseconds after) noexcept {
  try {
    ControlThread::instance().at(Clock::now() + after, [=] { look_in_time(charge); });
    return true;
  } catch (const std::exception& error) {
    LOG_ERROR("a channel is not looked after in time: %s", error.what());
    return false;
  }
}

// The program sleeps: from now on completions say when there is something to do, and whoever makes
// a call that leaves something behind.
void adopt(Channel& channel, Charge charge) {
  channel.progress();
  channel.send_held();
  // A thread that sleeps in a call has armed the channel and goes on when it wakes; what it leaves
  // behind then finds a caretaker again.
  const bool by_leader = channel.somebody_leads();
  const bool armed = by_leader || channel.arm_for_others();
  charge.activity = channel.activity();
  if (channel.needed_care() == Channel::Care::kNone) {
    return channel.cared_for(Channel::Care::kNone);
  }
  if (!armed) {
    return channel.cared_for(look_again_at(charge, Channel::kTick) ? channel.needed_care()
                                                                   : Channel::Care::kNone);
  }
  channel.care_rests(by_leader);
  if (by_leader || channel.care_when_ready([charge] { look_when_notified(charge); })) return;
  if (!look_again_at(charge, kRest)) channel.cared_for(Channel::Care::kNone);
}

bool concerns(const Charge& charge, const Channel& channel) noexcept {
  return channel.generation() == charge.generation && channel.care_turn() == charge.turn;
}

void look_when_notified(const Charge& charge) {
  ChannelGuard guard(charge.channel);
  if (!concerns(charge, *guard)) return;
  // Perhaps of a completion that has been taken: only the next arming takes the notification.
  guard->hub().notified();
  look(charge, std::move(guard));
}

// Who has the lock works on, and ticks itself: to wait for it would be in the way.
void look_in_time(const Charge& charge) {
  Channel::Lock lock(charge.channel->mutex(), std::try_to_lock);
  if (!lock && !charge.insists && look_again_at(charge, Channel::kTick)) return;
  if (!lock) lock.lock();
  ChannelGuard guard(charge.channel, std::move(lock));
  if (concerns(charge, *guard)) look(charge, std::move(guard));
}

// The program has made a call within a tick.
bool works_on(Charge& charge, const Channel& channel) {
  const TimePoint now = Clock::now();
  if (channel.activity() != charge.activity) charge.seen = now;
  charge.activity = channel.activity();
  return now - charge.seen < Channel::kTick;
}

void look(Charge charge, ChannelGuard guard) {
  Channel& channel = *guard;
  channel.forget_care();
  const Channel::Care needed = channel.needed_care();
  charge.insists = needed == Channel::Care::kAtOnce;
  if (needed == Channel::Care::kNone) {
    channel.cared_for(needed);
  } else if (needed != Channel::Care::kAtOnce && works_on(charge, channel)) {
    channel.tick_in_passing();
    const bool goes_on = look_again_at(charge, pause_for(channel, needed));
    channel.cared_for(goes_on ? needed : Channel::Care::kNone);
  } else {
    adopt(channel, charge);
  }
}

}  // namespace

void take_care_of(Channel* channel) noexcept {
  const Channel::Care needed = channel->needed_care();
  const Charge charge{channel,      channel->generation(), channel->activity(),
                      Clock::now(), channel->care_turn(),  needed == Channel::Care::kAtOnce};
  // What is held may wait for more, however much else the channel is relied on.
  const microseconds pause =
      pause_for(*channel, channel->hub().holding() ? Channel::Care::kPrompt : needed);
  if (!look_again_at(charge, pause)) channel->cared_for(Channel::Care::kNone);
}

}  // namespace sio::internal
