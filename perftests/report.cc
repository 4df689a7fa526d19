// SPDX-License-Identifier: BSD-2-Clause
#include "report.h"

#include <sys/utsname.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <thread>

#include "pace.h"
#include "process.h"

namespace sio_perf {
namespace {

std::string processor_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string kernel_release() {
  utsname name;
  return ::uname(&name) == 0 ? name.release : "unknown";
}

}  // namespace

void Report::set_up(const SetUp& set_up) {
  set_up_ = set_up;
  if (!options_.quiet) print_header();
  if (options_.op == Op::kLatency) {
    std::printf("%8s %11s %9s %9s %9s %9s %9s %9s %9s\n", "#bytes", "#iterations", "min[us]",
                "p50[us]", "p90[us]", "p99[us]", "p99.9[us]", "max[us]", "mean[us]");
  } else {
    std::printf("%8s %11s %14s %14s\n", "#bytes", "#iterations", "MiB/s", "messages/s");
  }
}

void Report::print_header() const {
  const char* const what = options_.op == Op::kLatency     ? "latency: half of a round trip"
                           : options_.op == Op::kBandwidth ? "bandwidth, one way"
                                                           : "message rate, one way";
  std::printf("%s; %s; both ends %s\n", what, options_.of->title,
              options_.event ? "sleep for events" : "poll");
  std::printf("  device %s, ", set_up_.device.c_str());
  if (set_up_.mtu != 0) {
    std::printf("MTU %u, inline up to %u bytes, ", set_up_.mtu, set_up_.max_inline);
  }
  std::printf("kernel %s\n", kernel_release().c_str());
  std::printf("  processor %s, %u of them, ", processor_model().c_str(),
              std::thread::hardware_concurrency());
  options_.cpu < 0 ? std::printf("on any of them\n") : std::printf("on number %d\n", options_.cpu);
  std::printf("  warm-up %" PRIu64 " messages", options_.warmup);
  if (options_.op != Op::kLatency) {
    std::printf(", up to %u in flight, counted until the receiver has confirmed all",
                options_.tx_depth);
    if (options_.of->peer == Peer::kRaw) std::printf(", posted %u at a time", options_.post_list);
  }
  std::printf("\n");
}

void Report::add(uint32_t size, const Measured& measured) {
  clear_progress();
  if (options_.op == Op::kLatency) {
    add_latencies(size, measured);
  } else {
    add_stream(size, measured);
  }
  std::fflush(stdout);
}

void Report::add_latencies(uint32_t size, const Measured& measured) {
  const Latencies found = latencies_of(measured.round_trips);
  std::printf("%8u %11zu %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", size,
              measured.round_trips.size(), found.min, found.p50, found.p90, found.p99, found.p999,
              found.max, found.mean);
  const auto record = [&](const char* metric, double value) {
    records_.push_back({size, metric, value, "us"});
  };
  record("min", found.min);
  record("p50", found.p50);
  record("p90", found.p90);
  record("p99", found.p99);
  record("p99.9", found.p999);
  record("max", found.max);
  record("mean", found.mean);
}

void Report::add_stream(uint32_t size, const Measured& measured) {
  const double bandwidth = mib_per_second(measured, size);
  const double rate = messages_per_second(measured);
  std::printf("%8u %11" PRIu64 " %14.2f %14.0f\n", size, measured.messages, bandwidth, rate);
  if (options_.op == Op::kBandwidth) {
    records_.push_back({size, "average", bandwidth, "MiB/s"});
  } else {
    records_.push_back({size, "average", rate, "messages/s"});
  }
}

void Report::write_json() const {
  if (options_.json.empty()) return;
  std::FILE* const file = std::fopen(options_.json.c_str(), "w");
  if (file == nullptr) fail_with_errno("--json " + options_.json);
  const std::string op = name_of(options_.parameters(0));
  std::fputs("[", file);
  for (const Record& record : records_) {
    std::fprintf(file,
                 "%s\n {\"peer\": \"%s\", \"op\": \"%s\", \"size\": %u, \"metric\": \"%s\", "
                 "\"value\": %.4f, \"unit\": \"%s\", \"device\": \"%s\"}",
                 &record == records_.data() ? "" : ",", options_.of->name, op.c_str(), record.size,
                 record.metric, record.value, record.unit, set_up_.device.c_str());
  }
  std::fputs("\n]\n", file);
  const bool written = std::ferror(file) == 0;
  if (std::fclose(file) != 0 || !written) fail_with_errno("--json " + options_.json);
}

}  // namespace sio_perf
