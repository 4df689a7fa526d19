// SPDX-License-Identifier: BSD-2-Clause
#include "crowd/figures.h"

#include <cstdio>

#include "process.h"

namespace sio_perf {

Figures::Figures(const Options& options, const SetUp& set_up) : options_(options), set_up_(set_up) {
  if (options.quiet) return;
  const CrowdOptions& crowd = options.crowd;
  std::printf("%s; %s; device %s; both ends %s\n", name_of(crowd.test), options.of->title,
              set_up.device.c_str(), options.event ? "sleep for events" : "poll");
  std::printf("  %u channels, %u connections in each, %s receives: %u slots of %u bytes for each\n",
              crowd.channels, crowd.connections, crowd.shared ? "shared" : "own", crowd.recv_slots,
              crowd.slot_size);
  if (crowd.like_sockets) std::puts("  with an epoll set each, and a thread for their events");
  std::printf("  messages of %u bytes, up to %u in flight on a connection\n", options.sizes.front(),
              options.tx_depth);
  std::fflush(stdout);
}

void Figures::add(const char* metric, const std::string& title, double value, const char* unit,
                  uint32_t turn) {
  std::printf("%-56s %14.2f %s\n", title.c_str(), value, unit);
  std::fflush(stdout);
  records_.push_back({metric, value, unit, turn});
}

void Figures::write_json() const {
  if (options_.json.empty()) return;
  std::FILE* const file = std::fopen(options_.json.c_str(), "w");
  if (file == nullptr) fail_with_errno("--json " + options_.json);
  const CrowdOptions& crowd = options_.crowd;
  std::fputs("[", file);
  for (const Record& record : records_) {
    std::fprintf(
        file,
        "%s\n {\"peer\": \"%s\", \"op\": \"%s\", \"size\": %u, \"connections\": %u, "
        "\"channels\": %u, \"shared\": %s, \"like_sockets\": %s, \"turn\": %u, \"metric\": \"%s\", "
        "\"value\": %.4f, \"unit\": \"%s\", \"device\": \"%s\"}",
        &record == records_.data() ? "" : ",", options_.of->name, name_of(crowd.test),
        options_.sizes.front(), crowd.connections, crowd.channels, crowd.shared ? "true" : "false",
        crowd.like_sockets ? "true" : "false", record.turn, record.metric, record.value,
        record.unit, set_up_.device.c_str());
  }
  std::fputs("\n]\n", file);
  const bool written = std::ferror(file) == 0;
  if (std::fclose(file) != 0 || !written) fail_with_errno("--json " + options_.json);
}

}  // namespace sio_perf
