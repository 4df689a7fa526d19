// SPDX-License-Identifier: BSD-2-Clause
//
// What sio_stat makes of two readings, and its table.
#include "stat/report.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <sstream>

namespace sio_stat {
namespace {

using stats::SocketFigures;
using testing::HasSubstr;
using testing::Not;

Report report_of(const Reading& now, const Reading* before) {
  return make_report(1234, "0.1.0", now, before);
}

Socket socket_of(uint32_t entry, int fd, double seconds, uint64_t messages) {
  SocketFigures figures{};
  figures.generation = 1;
  figures.time_ns = static_cast<uint64_t>(seconds * 1e9);
  figures.fd = fd;
  figures.channel = 3;
  figures.type = SOCK_SEQPACKET;
  figures.state = stats::State::kOpen;
  figures.peer = {AF_INET, 65535, 0, {255, 255, 255, 254}};
  figures.info.messages_sent = messages;
  figures.info.bytes_sent = 100 * messages;
  return {entry, figures};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(StatReport, HasTheRatesBetweenTwoReadings) {
  Reading before;
  Reading now;
  before.sockets = {socket_of(0, 5, 1.0, 100), socket_of(4, 6, 1.0, 1000)};
  now.sockets = {socket_of(0, 5, 1.5, 200), socket_of(2, 7, 1.5, 5), socket_of(4, 6, 1.5, 10)};
  const Report report = report_of(now, &before);
  ASSERT_EQ(report.sockets.size(), 3u);
  EXPECT_DOUBLE_EQ(report.sockets[0].rates->messages_sent, 200);
  EXPECT_DOUBLE_EQ(report.sockets[0].rates->bytes_sent, 20000);
  EXPECT_EQ(report.sockets[1].figures.fd, 6);
  EXPECT_EQ(report.sockets[1].rates->messages_sent, 0);  // it counts backwards
  EXPECT_FALSE(report.sockets[2].rates);                 // it is new
}

TEST(StatReport, HasNoRatesOfAnotherSocketInTheSamePlace) {
  Reading before;
  Reading now;
  before.sockets = {socket_of(0, 5, 1.0, 100)};
  now.sockets = {socket_of(0, 5, 2.0, 200)};
  now.sockets[0].figures.generation = 2;
  EXPECT_FALSE(report_of(now, &before).sockets.at(0).rates);
}

TEST(StatReport, HasNoRateWithoutTime) {
  Reading before;
  before.sockets = {socket_of(0, 5, 1.0, 100)};
  Reading now;
  now.sockets = {socket_of(0, 5, 1.0, 200)};
  EXPECT_EQ(report_of(now, &before).sockets.at(0).rates->messages_sent, 0);
}

TEST(StatTable, FitsInto120ColumnsWhateverTheFigures) {
  Reading before;
  Reading now;
  before.sockets = {socket_of(0, 123456, 1.0, 0)};
  now.sockets = {socket_of(0, 99999, 1.000000001, UINT64_MAX / 200)};
  SocketFigures& figures = now.sockets[0].figures;
  figures.channel = 9999;
  figures.unsent = figures.bulk_in_flight = figures.slots_held = UINT32_MAX;
  figures.info.sends_in_flight = figures.info.credits = UINT32_MAX;
  figures.info.credit_stalls = figures.info.bulk_sent = UINT64_MAX / 4;
  const Report report = report_of(now, &before);
  for (const bool totals : {false, true}) {
    for (const std::string& line : lines_of(table(report, totals, 0, 0)))
      EXPECT_LE(line.size(), 130u) << line;
  }
  figures = socket_of(0, 99999, 2, 99'999'999).figures;
  for (const bool totals : {false, true}) {
    for (const std::string& line : lines_of(table(report_of(now, &before), totals, 0, 0)))
      EXPECT_LE(line.size(), 120u) << line;
  }
}

TEST(StatTable, OnATerminalHasTheBusiestSocketsThatFit) {
  Reading before;
  Reading now;
  for (uint32_t i = 0; i < 100; ++i) {
    before.sockets.push_back(socket_of(i, 1000 + static_cast<int>(i), 1, 0));
    now.sockets.push_back(socket_of(i, 1000 + static_cast<int>(i), 2, i == 50 || i == 7 ? 9 : 0));
  }
  const std::string text = table(report_of(now, &before), false, 6, 60);
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[2], HasSubstr("1007"));
  EXPECT_THAT(lines[3], HasSubstr("1050"));
  EXPECT_THAT(lines[4], HasSubstr("98 sockets"));
  for (const std::string& line : lines) EXPECT_LE(line.size(), 60u);
}

TEST(StatTable, NamesWhatItShows) {
  Reading now;
  now.sockets = {socket_of(0, 5, 1, 1'234'567), socket_of(1, -1, 1, 0)};
  now.sockets[0].figures.info.error = ECONNRESET;
  SocketFigures& other = now.sockets[1].figures;
  other.type = SOCK_DGRAM;
  other.state = stats::State::kClosing;
  other.channel = -1;
  other.peer = {};
  other.local = {AF_INET6, 7000, 2, {0xfe, 0x80}};
  now.totals.left_out = 2;
  const std::string text = table(report_of(now, nullptr), true, 0, 0);
  for (const char* const word : {"process 1234, libsio 0.1.0: ", "2 sockets",
                                 "without figures: 2 sockets", "255.255.255.254:65535", "1.2M",
                                 "123.5M", "ECONNRESET", "dgram", "closing", "[fe80::%2]:7000"})
    EXPECT_THAT(text, HasSubstr(word));
  EXPECT_THAT(table(report_of(now, nullptr), false, 0, 0), Not(HasSubstr("1.2M")));
}

}  // namespace
}  // namespace sio_stat
