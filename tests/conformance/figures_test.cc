// SPDX-License-Identifier: BSD-2-Clause
//
// What sio_stat reads of a process: it is what that process's own SIO_INFO says.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "stat/failure.h"
#include "stat/process.h"
#include "stat/report.h"

namespace sio::test {
namespace {

using sio_stat::PageReader;
using sio_stat::Process;
using sio_stat::Reading;
using sio_stat::text_of;
using sio_stat::stats::SocketFigures;
using sio_stat::stats::State;
using testing::HasSubstr;

// As sio_stat writes it.
std::string written(const Address& address) {
  const bool ipv4 = address.family() == AF_INET;
  return ipv4 ? address.text() + ':' + std::to_string(address.port()) : address.whole();
}

std::string why_no_page(int pid) {
  try {
    Process(pid).page();
    return "there is one";
  } catch (const sio_stat::Failure& failure) {
    return failure.what();
  }
}

class Figures : public DeviceTest {
 protected:
  void start(const std::string& options = "", const std::string& setting = "SIO_STATS=1") {
    peer_.emplace("figures " + options, std::vector<std::string>{setting});
    pid_ = static_cast<int>(peer_->expect_number("pid"));
  }
  void connect(int type = SOCK_SEQPACKET) {
    near_ = Socket::make(0, AF_UNSPEC, type);
    near_.connect(peer_->address());
  }
  void have(const std::string& command, const std::string& answer) {
    peer_->say(command);
    peer_->expect(answer);
  }
  // The peer's connection: its descriptor, and SIO_INFO.
  int info(sio_info& info) {
    peer_->say("info");
    const std::string said = peer_->expect("info");
    const size_t space = said.find(' ');
    for (size_t i = 0; i < sizeof info; ++i) {
      reinterpret_cast<unsigned char*>(&info)[i] =
          static_cast<unsigned char>(std::stoi(said.substr(space + 1 + 2 * i, 2), nullptr, 16));
    }
    return std::stoi(said);
  }
  static std::optional<SocketFigures> of(const Reading& reading, int fd) {
    for (const auto& socket : reading.sockets) {
      if (socket.figures.fd == fd) return socket.figures;
    }
    return std::nullopt;
  }
  // The page comes to say what SIO_INFO does.
  SocketFigures settled(const PageReader& page) {
    SocketFigures figures{};
    sio_info told{};
    const bool same = eventually([&] {
      const int fd = info(told);
      const auto found = of(page.read(), fd);
      figures = found.value_or(SocketFigures{});
      return found && std::memcmp(&figures.info, &told, sizeof told) == 0;
    });
    EXPECT_TRUE(same) << "sent " << figures.info.messages_sent << " and " << told.messages_sent
                      << ", received " << figures.info.messages_received << " and "
                      << told.messages_received;
    return figures;
  }

  std::optional<Peer> peer_;
  int pid_ = 0;
  Socket near_;
};

class FiguresOf : public Figures, public testing::WithParamInterface<int> {};

TEST_P(FiguresOf, AConnectionAreWhatItsOptionSays) {
  const bool stream = GetParam() == SOCK_STREAM;
  start(stream ? "type=stream" : "");
  connect(GetParam());
  const PageReader page = Process(pid_).page();
  for (int i = 0; i < 10; ++i) {
    near_.send("hello");
    if (stream) have("take 1", "taken");
  }
  if (!stream) have("take 10", "taken");
  have("send 5", "sent");
  const SocketFigures figures = settled(page);
  EXPECT_EQ(figures.state, State::kOpen);
  EXPECT_EQ(figures.type, GetParam());
  EXPECT_EQ(figures.channel, -1);
  EXPECT_EQ(text_of(figures.peer), written(near_.name()));
  EXPECT_EQ(text_of(figures.local), written(near_.peer_name()));
  EXPECT_EQ(figures.info.messages_received, 10u);
  EXPECT_EQ(figures.info.bytes_received, 50u);
  EXPECT_EQ(figures.info.bytes_sent, 45u);
  EXPECT_GT(figures.slots_held, 0u);
  EXPECT_NE(figures.info.qp_num, 0u);
  EXPECT_EQ(figures.info.qp_num, near_.get_option<sio_info>(SIO_INFO).peer_qp_num);
  EXPECT_STRNE(figures.info.device, "");
  EXPECT_STRNE(figures.info.gid, "");
  have("drop", "dropped");
  EXPECT_EQ(settled(page).info.messages_received, 10u);
  EXPECT_TRUE(eventually([&] { return settled(page).slots_held == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Types, FiguresOf, testing::Values(SOCK_SEQPACKET, SOCK_STREAM));

TEST_F(Figures, OfTheProcessAndOfAListener) {
  start();
  connect();
  const PageReader page = Process(pid_).page();
  settled(page);
  EXPECT_EQ(page.pid(), pid_);
  const Reading reading = page.read();
  EXPECT_EQ(reading.totals.channels, 0u);
  EXPECT_GE(reading.totals.areas, 1u);
  EXPECT_GE(reading.totals.area_bytes, 68u * 8192);
  EXPECT_EQ(reading.totals.left_out, 0u);
  EXPECT_TRUE(eventually([&] { return page.read().totals.passes > reading.totals.passes + 2; }));
}

TEST_F(Figures, OfASocketThatIsClosedGo) {
  start();
  connect();
  const PageReader page = Process(pid_).page();
  const int fd = settled(page).fd;
  near_.close();
  have("close", "closed");
  EXPECT_TRUE(eventually([&] { return !of(page.read(), fd); }));
}

TEST_F(Figures, OfADatagramSocket) {
  start();
  connect();
  const PageReader page = Process(pid_).page();
  peer_->say("datagram");
  const std::string said = peer_->expect("datagram");
  const int fd = std::stoi(said);
  const Address to(peer_->address().text(),
                   static_cast<uint16_t>(std::stoi(said.substr(said.find(' ')))));
  const Socket sender = Socket::make(0, AF_UNSPEC, SOCK_DGRAM);
  for (int i = 0; i < 3; ++i)
    must(sio_sendto(sender.get(), "datagram", 8, 0, to.get(), to.size()), "sio_sendto");
  have("datagrams 3", "taken");
  SocketFigures figures{};
  EXPECT_TRUE(eventually([&] {
    figures = of(page.read(), fd).value_or(SocketFigures{});
    return figures.slots_held == 3;
  }));
  EXPECT_EQ(figures.type, SOCK_DGRAM);
  EXPECT_EQ(figures.state, State::kOpen);
  EXPECT_EQ(figures.slots_free + figures.slots_held, figures.info.recv_slots);
  EXPECT_EQ(text_of(figures.local), written(to));
}

// It has the descriptor, but neither the memory nor a thread that would write there.
TEST_F(Figures, OfTheParentAreNotTheChilds) {
  start();
  connect();
  const PageReader page = Process(pid_).page();
  peer_->say("fork");
  const auto child = static_cast<int>(peer_->expect_number("child"));
  EXPECT_THAT(why_no_page(child),
              HasSubstr("it has inherited those of the process that forked it"));
  std::ifstream maps("/proc/" + std::to_string(child) + "/maps");
  const std::string mapped(std::istreambuf_iterator<char>(maps), {});
  EXPECT_THAT(mapped, HasSubstr("sio_test_peer"));
  EXPECT_THAT(mapped, testing::Not(HasSubstr("memfd:sio-stats")));
  near_.send("hello");
  have("take 1", "taken");
  EXPECT_EQ(settled(page).info.messages_received, 1u);
}

TEST_F(Figures, AreKeptForNobodyWhoDidNotAsk) {
  start("", "SIO_STATS=0");
  connect();
  near_.send("hello");
  have("take 1", "taken");
  EXPECT_THAT(why_no_page(pid_), HasSubstr("start it with SIO_STATS=1"));
}

TEST_F(Figures, ThatCanNotBeKeptAreMissedAloneAndTheLogSaysWhy) {
  start("file_limit=1000000");
  EXPECT_THAT(peer_->expect("log"), HasSubstr("SIO_STATS: sio_stat will find no figures here: the "
                                              "limit for files (ulimit -f): File too large"));
  connect();
  near_.send("hello");
  have("take 1", "taken");
  EXPECT_THAT(why_no_page(pid_), HasSubstr("start it with SIO_STATS=1"));
}

TEST_F(Figures, OfAProcessThatEndsStayReadable) {
  start();
  connect();
  const Process process(pid_);
  const PageReader page = process.page();
  settled(page);
  EXPECT_FALSE(process.ends_within(milliseconds(0)));
  peer_->kill();
  EXPECT_TRUE(process.ends_within(kSoon));
  EXPECT_FALSE(page.read().sockets.empty());
  EXPECT_THAT(why_no_page(pid_), HasSubstr("there is no process"));
}

TEST_F(Figures, AreOfProcessesAlone) {
  EXPECT_THAT(why_no_page(0), HasSubstr("there is no process"));
  EXPECT_THAT(why_no_page(-1), HasSubstr("there is no process"));
  EXPECT_THAT(why_no_page(1 << 30), HasSubstr("there is no process"));
}

}  // namespace
}  // namespace sio::test
