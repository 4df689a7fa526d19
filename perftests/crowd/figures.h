// SPDX-License-Identifier: BSD-2-Clause
//
// What a client of a crowd prints, line by line, and the same as JSON.
#pragma once

#include <string>
#include <vector>

#include "options.h"
#include "report.h"

namespace sio_perf {

class Figures {
 public:
  Figures(const Options& options, const SetUp& set_up);

  // `metric` names it in JSON; it lasts. `turn`: where messages of so many at a time were measured.
  void add(const char* metric, const std::string& title, double value, const char* unit,
           uint32_t turn = 0);
  void write_json() const;  // where the options say, if they do

 private:
  struct Record {
    const char* metric;
    double value;
    const char* unit;
    uint32_t turn;
  };

  const Options& options_;
  const SetUp set_up_;
  std::vector<Record> records_;
};

}  // namespace sio_perf
