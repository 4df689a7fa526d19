// SPDX-License-Identifier: BSD-2-Clause
//
// What a client prints, and the same as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "options.h"
#include "statistics.h"

namespace sio_perf {

// What a connection runs on.
struct SetUp {
  std::string device;
  uint32_t mtu = 0;
  uint32_t max_inline = 0;
};

class Report {
 public:
  explicit Report(const Options& options) : options_(options) {}

  void set_up(const SetUp& set_up);  // before the first add
  void add(uint32_t size, const Measured& measured);
  void write_json() const;  // where the options say, if they do

 private:
  // What differs from record to record.
  struct Record {
    uint32_t size;
    const char* metric;
    double value;
    const char* unit;
  };

  void print_header() const;
  void add_latencies(uint32_t size, const Measured& measured);
  void add_stream(uint32_t size, const Measured& measured);

  const Options& options_;
  SetUp set_up_;
  std::vector<Record> records_;
};

}  // namespace sio_perf
