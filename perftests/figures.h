// SPDX-License-Identifier: BSD-2-Clause
//
// What a client of a crowd prints, line by line, and the same as JSON.
#pragma once

#include <vector>

#include "options.h"
#include "report.h"

namespace sio_perf {

class Figures {
 public:
  Figures(const Options& options, const SetUp& set_up);

  // `metric` names it in JSON, `title` in print. Both last.
  void add(const char* metric, const char* title, double value, const char* unit);
  void write_json() const;  // where the options say, if they do

 private:
  struct Record {
    const char* metric;
    double value;
    const char* unit;
  };

  const Options& options_;
  const SetUp set_up_;
  std::vector<Record> records_;
};

}  // namespace sio_perf
