// SPDX-License-Identifier: BSD-2-Clause
#include "event/caretaker.h"

#include "base/log.h"
#include "control/control_thread.h"
#include "event/channel.h"

namespace sio::internal {
namespace {

constexpr milliseconds kTick{1};
constexpr milliseconds kRest{20};  // when nothing tells that there is something to do

struct Charge {
  Channel* channel;
  uint64_t generation;  // of the channel's use: tells when it has gone
  uint64_t activity;    // of the program, as last seen
};

void look(Charge charge, bool notified);

void look_again_at(const Charge& charge, milliseconds after) {
  ControlThread::instance().at(Clock::now() + after, [charge] { look(charge, false); });
}

// The program sleeps: from now on completions say when there is something to do.
void adopt(Channel& channel, Charge charge) {
  channel.progress();
  channel.send_held();
  // A thread that sleeps in a call has armed the channel and goes on when it wakes; what it leaves
  // behind then finds a caretaker again.
  if (!channel.somebody_leads()) channel.arm_for_others();
  charge.activity = channel.activity();
  if (!channel.needs_care() || channel.somebody_leads()) {
    channel.care_ended();
    return;
  }
  if (!channel.care_when_ready([charge] { look(charge, true); })) look_again_at(charge, kRest);
}

void look(Charge charge, bool notified) {
  Channel& channel = *charge.channel;
  ChannelGuard guard(&channel);
  if (channel.generation() != charge.generation) return;
  // Perhaps of a completion that has been taken: only the next arming takes the notification.
  if (notified) channel.hub().notified();
  channel.forget_care();
  if (!channel.needs_care()) {
    channel.care_ended();
  } else if (channel.activity() != charge.activity) {
    charge.activity = channel.activity();
    look_again_at(charge, kTick);
  } else {
    adopt(channel, charge);
  }
}

}  // namespace

void take_care_of(Channel* channel) noexcept {
  try {
    look_again_at({channel, channel->generation(), channel->activity()}, kTick);
  } catch (const std::exception& error) {
    LOG_ERROR("nobody takes care of a channel: %s", error.what());
    channel->care_ended();
  }
}

}  // namespace sio::internal
