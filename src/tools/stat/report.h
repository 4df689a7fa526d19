// SPDX-License-Identifier: BSD-2-Clause
//
// What is shown of a reading.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "stat/page_reader.h"

namespace sio_stat {

// Per second.
struct Rates {
  double messages_sent = 0;
  double bytes_sent = 0;
  double messages_received = 0;
  double bytes_received = 0;
};

struct Line {
  stats::SocketFigures figures;
  std::optional<Rates> rates;  // nothing: it was not there in the reading before
};

struct Report {
  int pid = 0;
  std::string version;
  stats::Totals totals{};
  uint32_t unreadable = 0;
  std::vector<Line> sockets;  // by descriptor
};

// The process's number is that which it has here; it may know itself by another one.
Report make_report(int pid, const std::string& version, const Reading& now, const Reading* before);

// A table; `totals`: since each socket was opened, in place of rates. Of a terminal it takes as
// much as there is room for: those sockets that did most. 0: all of it.
std::string table(const Report& report, bool totals, size_t rows, size_t columns);
// One line.
std::string json(const Report& report);

// Of both.
const char* name_of_state(stats::State state);
std::string name_of_type(int type);
std::string text_of(const stats::Name& name);  // "" if it is none
std::string name_of_error(int error);

}  // namespace sio_stat
