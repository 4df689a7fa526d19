// SPDX-License-Identifier: BSD-2-Clause
//
// The ring of events, bare: what ec_next_event is measured beside.
#include "event/ring.h"

#include "loop.h"

namespace sio::micro {
namespace {

using internal::EventNote;
using internal::EventRing;

constexpr size_t kEntries = 1024;

void push(EventRing& ring) {
  event_data_t& event = ring.push({nullptr, EC_USER, 0, 0});
  event = {};
  event.kind = EC_USER;
}

void push_and_pop(Loop& loop) {
  EventRing ring(nullptr, kEntries);
  event_data_t event;
  loop.run([&] {
    push(ring);
    ring.pop(event);
    benchmark::DoNotOptimize(event);
  });
}

void pop(Loop& loop) {
  EventRing ring(nullptr, kEntries);
  event_data_t event;
  const auto refill = [&] {
    while (!ring.full()) push(ring);
  };
  loop.run_in_batches(kEntries, refill, [&] {
    ring.pop(event);
    benchmark::DoNotOptimize(event);
  });
}

constexpr Operation kOperations[] = {{"ring/push-and-pop", push_and_pop}, {"ring/pop", pop}};

}  // namespace

std::span<const Operation> ring_operations() { return kOperations; }

}  // namespace sio::micro
