// SPDX-License-Identifier: BSD-2-Clause
//
// What is measured of crowds (crowd/crowd.h), whatever they are made of.
#pragma once

#include <algorithm>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "crowd/dialogue.h"
#include "crowd/fair.h"
#include "crowd/figures.h"
#include "crowd/streams.h"
#include "peer.h"
#include "statistics.h"

namespace sio_perf {

inline constexpr double kNsPerSecond = 1e9;
inline constexpr double kNsPerMs = 1e6;
inline constexpr double kBytesPerKib = 1024;
inline constexpr double kWarmUp = 0.25;  // part of the time that counts, before it

inline uint64_t ns_of(double seconds) { return static_cast<uint64_t>(seconds * kNsPerSecond); }
inline double seconds_since(uint64_t begin) {
  return static_cast<double>(now_ns() - begin) / kNsPerSecond;
}

template <typename Crowd>
class CrowdClient {
 public:
  template <typename... More>
  CrowdClient(const Options& options, const SetUp& set_up, Dialogue& dialogue, More... more)
      : options_(options),
        parameters_(options.crowd_parameters()),
        dialogue_(dialogue),
        ports_(dialogue.ask_ports()),
        figures_(options, set_up) {
    raise_descriptor_limit();
    for (uint32_t i = 0; i < parameters_.channels; ++i) crowds_.emplace_back(parameters_, more...);
  }

  void run() {
    switch (options_.crowd.test) {
      case CrowdTest::kThreads:
        connect_all();
        measure_threads();
        break;
      case CrowdTest::kFair:
        connect_all();
        measure_fairness();
        break;
      default:
        measure_connections();
    }
    figures_.write_json();
  }

 private:
  // The ports of one channel's listeners.
  std::vector<uint16_t> ports_of(size_t channel) const {
    const auto each = static_cast<std::ptrdiff_t>(ports_.size() / parameters_.channels);
    const auto first = ports_.begin() + static_cast<std::ptrdiff_t>(channel) * each;
    return {first, first + each};
  }

  void connect_all() {
    for (size_t i = 0; i < crowds_.size(); ++i) {
      crowds_[i].connect(options_.host, ports_of(i), parameters_.connections,
                         options_.crowd.at_once);
    }
  }

  // Many connections: what they cost, and what they carry. The first one is apart: it makes what
  // all have in common.
  void measure_connections() {
    Crowd& crowd = crowds_.front();
    const Usage before = Usage::now();
    const uint64_t begin = now_ns();
    crowd.connect(options_.host, ports_of(0), 1, 1);
    figures_.add("first", "the first connection", seconds_since(begin) * 1e6, "us");
    const Usage first = Usage::now();
    figures_.add("first_resident", "memory of the first connection",
                 kib(first.resident, before.resident, 1), "KiB");
    if (parameters_.connections > 1) measure_growth(crowd, first);
    // A queue that was made with the first one, for others too, is theirs as well.
    figures_.add("resident_all", "memory of each, the first one and all they have in common",
                 kib(Usage::now().resident, before.resident, parameters_.connections), "KiB");
    if (options_.crowd.idle > 0) measure_idleness(crowd);
    if (options_.seconds > 0) {
      CrowdStreams<Crowd> streams(crowd, parameters_);
      for (const uint32_t turn : options_.crowd.turns) measure_rate(crowd, streams, turn);
    }
    if (parameters_.connections > 1 && options_.seconds > 0) {
      figures_.add("resident_after", "memory of each further one, after the messages",
                   kib(Usage::now().resident, first.resident, parameters_.connections - 1), "KiB");
    }
  }

  void measure_growth(Crowd& crowd, const Usage& before) {
    const uint32_t further = parameters_.connections - 1;
    const Usage server_before = dialogue_.ask_usage();
    const uint64_t begin = now_ns();
    crowd.connect(options_.host, ports_of(0), parameters_.connections, options_.crowd.at_once);
    figures_.add("set_up", "set-up, up to established", further / seconds_since(begin),
                 "connections/s");
    const Usage after = Usage::now(), server_after = dialogue_.ask_usage();
    const auto add = [&](const char* metric, const char* title, uint64_t now, uint64_t then) {
      figures_.add(metric, title, kib(now, then, further), "KiB");
    };
    add("resident", "memory of each further one, process", after.resident, before.resident);
    add("anonymous", "  of that not mapped by the kernel", after.anonymous, before.anonymous);
    add("pinned", "  pinned", after.pinned, before.pinned);
    add("server_resident", "memory of each further one, server's process", server_after.resident,
        server_before.resident);
    add("server_anonymous", "  of that not mapped by the kernel", server_after.anonymous,
        server_before.anonymous);
    add("machine", "what the machine has less available, for each", server_before.available,
        server_after.available);
    add("slab", "  more of it in the kernel's slabs", server_after.slab, server_before.slab);
  }

  static double kib(uint64_t now, uint64_t before, uint32_t connections) {
    return (static_cast<double>(now) - static_cast<double>(before)) / kBytesPerKib / connections;
  }

  // A second first, in which whoever still polls goes to sleep.
  void measure_idleness(Crowd& crowd) {
    rest(crowd, 1);
    const uint64_t server_before = dialogue_.ask_cpu();
    const uint64_t keepalives = crowd.traffic().keepalives;
    const uint64_t before = Usage::cpu_now();
    rest(crowd, options_.crowd.idle);
    const uint64_t cpu = Usage::cpu_now() - before;
    const uint64_t server_cpu = dialogue_.ask_cpu() - server_before;
    figures_.add("idle_cpu", "processor time while idle", static_cast<double>(cpu) / kNsPerMs,
                 "ms");
    figures_.add("server_idle_cpu", "  of the server", static_cast<double>(server_cpu) / kNsPerMs,
                 "ms");
    figures_.add("keepalives", "  keepalives of ours meanwhile",
                 static_cast<double>(crowd.traffic().keepalives - keepalives), "");
  }

  static void rest(Crowd& crowd, double seconds) {
    const uint64_t end = now_ns() + ns_of(seconds);
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
      check_stop();
      const bool some = crowd.take([](const Arrived&) {}, [](uint32_t) {});
      if (!some) crowd.sleep(static_cast<int>((end - now) / 1'000'000 + 1));
    }
  }

  void measure_rate(Crowd& crowd, CrowdStreams<Crowd>& streams, uint32_t turn) {
    streams.warm_up(now_ns() + ns_of(options_.seconds * kWarmUp), turn);
    const Traffic before = crowd.traffic();
    const uint64_t confirmed = streams.confirmed(), begin = now_ns();
    streams.run_until(begin + ns_of(options_.seconds), turn);
    const double seconds = seconds_since(begin);
    const uint64_t messages = streams.confirmed() - confirmed;
    const Traffic after = crowd.traffic();
    streams.finish();
    figures_.add("rate", "message rate, one way, turns of " + std::to_string(turn),
                 static_cast<double>(messages) / seconds, "messages/s", turn);
    const auto sends = static_cast<double>(after.sends - before.sends);
    figures_.add("gathered", "  messages to a SEND",
                 static_cast<double>(after.messages - before.messages) / std::max(sends, 1.0), "",
                 turn);
  }

  // A thread for each channel.
  void measure_threads() {
    std::vector<uint64_t> messages(crowds_.size());
    std::exception_ptr failure;
    std::mutex mutex;
    const uint64_t begin = now_ns() + ns_of(options_.seconds * kWarmUp);
    const uint64_t end = begin + ns_of(options_.seconds);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < crowds_.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          CrowdStreams<Crowd> streams(crowds_[i], parameters_);
          const uint32_t turn = options_.crowd.turns.front();
          streams.run_until(begin, turn);
          const uint64_t confirmed = streams.confirmed();
          streams.run_until(end, turn);
          messages[i] = streams.confirmed() - confirmed;
          streams.finish();
        } catch (...) {
          const std::lock_guard lock(mutex);
          failure = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
    uint64_t all = 0;
    for (const uint64_t some : messages) all += some;
    figures_.add("rate", "message rate, one way, all threads",
                 static_cast<double>(all) / options_.seconds, "messages/s");
    figures_.add(
        "least", "  of the thread that had least",
        static_cast<double>(*std::min_element(messages.begin(), messages.end())) / options_.seconds,
        "messages/s");
  }

  void measure_fairness() {
    CrowdFair<Crowd> fair(crowds_.front(), parameters_);
    fair.run(now_ns() + ns_of(options_.seconds * kWarmUp), true);
    const auto run = [&](bool with_greedy) {
      return fair.run(now_ns() + ns_of(options_.seconds), with_greedy);
    };
    const auto alone = run(false);
    const auto beside = run(true);
    add_latencies(alone.round_trips, "alone_p50", "alone_p99", "alone_rate", "alone");
    add_latencies(beside.round_trips, "beside_p50", "beside_p99", "beside_rate",
                  "beside the greedy one");
    figures_.add("greedy_rate", "the greedy one, meanwhile",
                 static_cast<double>(beside.confirmed) / options_.seconds, "messages/s");
  }

  void add_latencies(const std::vector<uint64_t>& round_trips, const char* p50, const char* p99,
                     const char* rate, const std::string& where) {
    const Latencies found = latencies_of(round_trips);
    // Theirs are whole round trips: answers are part of the work.
    figures_.add(p50, "the modest " + where + ", round trip, median", 2 * found.p50, "us");
    figures_.add(p99, "the modest " + where + ", 99th percentile", 2 * found.p99, "us");
    figures_.add(rate, "the modest " + where + ", all together",
                 static_cast<double>(round_trips.size()) / options_.seconds, "messages/s");
  }

  const Options& options_;
  const Parameters parameters_;
  Dialogue& dialogue_;
  const std::vector<uint16_t> ports_;
  Figures figures_;
  std::deque<Crowd> crowds_;
};

template <typename Crowd, typename... More>
void run_crowd(const Options& options, const SetUp& set_up, Dialogue& dialogue, More... more) {
  CrowdClient<Crowd>(options, set_up, dialogue, more...).run();
}

}  // namespace sio_perf
