// SPDX-License-Identifier: BSD-2-Clause
//
// Devices that come when a program is at work, and go.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "conformance/fixtures.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

int run(const std::string& command) {
  return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str());
}

// A second device of the machine, on an interface of its own, with an address for documentation
// (RFC 5737), which is nobody's. Another run may have one, or have left it behind.
class SecondDevice {
 public:
  SecondDevice() = default;
  SecondDevice(const SecondDevice&) = delete;
  SecondDevice& operator=(const SecondDevice&) = delete;
  ~SecondDevice() {
    if (there_ && !removal_.joinable()) begin_to_remove();
    if (there_) removal_.join();
    if (on_interface_) run("ip link delete " + interface_);
  }

  // False: it can not be had here.
  bool add() {
    on_interface_ = run("ip link add " + interface_ + " type dummy") == 0;
    there_ = on_interface_ && run("ip address add 203.0.113.1/24 dev " + interface_ +
                                  " && ip link set " + interface_ + " up && rdma link add " +
                                  name_ + " type rxe netdev " + interface_) == 0;
    return there_;
  }
  static constexpr const char* address() { return "203.0.113.1"; }
  // It is told of at once; rxe then waits until no process has it open any more.
  void begin_to_remove() {
    removal_ = std::thread([this] { EXPECT_EQ(run("rdma link delete " + name_), 0); });
  }

 private:
  const std::string name_ = "siorxe" + std::to_string(getpid());
  const std::string interface_ = "sio" + std::to_string(getpid());
  bool on_interface_ = false;
  bool there_ = false;
  std::thread removal_;
};

class Devices : public DeviceTest {
 protected:
  void SetUp() override {
    if (on_soft()) GTEST_SKIP() << "the soft provider's device is always there";
    if (machines() != 1) GTEST_SKIP() << "it would be another machine's device";
    if (geteuid() != 0) GTEST_SKIP() << "only root adds devices";
    DeviceTest::SetUp();
  }

  static constexpr uint64_t kGone = ENODEV;
  static constexpr uint64_t kRefused = ECONNREFUSED;
  static constexpr uint64_t kNotOurs = EADDRNOTAVAIL;
  static constexpr uint64_t kNobody = EHOSTUNREACH;

  static std::string by_second_device(Peer& host) {
    return to({SecondDevice::address(), host.address().port()});
  }
  static std::string by_first_device(Peer& host) {
    return to({Address::self().text(), host.address().port()});
  }
  static Peer dial(const std::string& where, const std::string& more = "") {
    Peer guest("dial" + where + more);
    guest.expect("connecting");
    return guest;
  }
  // The host takes a connection, and its datagrams go on too.
  static void expect_service(Peer& host, const std::string& where) {
    Peer guest = dial(where);
    guest.expect("connected");
    host.expect("accepted");
    host.expect("datagram");
  }
};

// The connection manager takes it for one of ours, or one of ours for a new one.
TEST_F(Devices, ThatComeLaterAreNotUsedAndLeaveTheOthersAlone) {
  SecondDevice later;  // goes last: the others have it open, too
  Peer host("host");
  expect_service(host, by_first_device(host));
  if (!later.add()) GTEST_SKIP() << "no rxe device can be added here";
  for (int i = 0; i < 2; ++i) {
    Peer stranger = dial(by_second_device(host));
    EXPECT_EQ(stranger.expect_number("failed"), kRefused);
    expect_service(host, by_first_device(host));
  }
}

TEST_F(Devices, ThatComeLaterLeadNowhere) {
  SecondDevice later;
  const std::string at = std::string(" address=") + SecondDevice::address();
  Peer latecomer("latecomer" + at);
  latecomer.expect("ready");
  if (!later.add()) GTEST_SKIP() << "no rxe device can be added here";
  Peer host("host" + at);
  Peer echo("datagram-echo" + at);
  expect_service(host, by_second_device(host));
  Peer source("datagram-source" + by_second_device(echo));
  source.expect("sent");
  const std::string port = std::to_string(host.address().port());
  const std::string echo_port = std::to_string(echo.address().port());
  const auto errno_of = [&](const std::string& call, const std::string& more) {
    latecomer.say(call + " " + more);
    return latecomer.expect_number(call);
  };
  EXPECT_EQ(errno_of("bind", "seqpacket 0"), kNotOurs);
  EXPECT_EQ(errno_of("bind", "seqpacket " + port), kNotOurs) << "a port that is taken";
  EXPECT_EQ(errno_of("bind", "datagram 0"), kNotOurs);
  EXPECT_EQ(errno_of("bind", "datagram " + echo_port), kNotOurs) << "a port that is taken";
  EXPECT_EQ(errno_of("connect", "seqpacket " + port), kGone);
  EXPECT_EQ(errno_of("connect", "datagram " + echo_port), kNobody);
  EXPECT_EQ(errno_of("sendto", "datagram " + echo_port), kNobody);
}

// A listener at all addresses goes on with those that are left.
TEST_F(Devices, ThatGoAreToldOfByEveryCallThatWaits) {
  SecondDevice device;
  if (!device.add()) GTEST_SKIP() << "no rxe device can be added here";
  Peer everywhere("host");
  Peer host(std::string("host address=") + SecondDevice::address());
  Peer datagrams(std::string("datagram-await address=") + SecondDevice::address());
  datagrams.expect("awaiting");
  Peer sender = dial(by_second_device(host), " then=flood");
  Peer receiver = dial(by_second_device(everywhere), " then=await");
  Peer watcher("watch" + by_second_device(everywhere));
  for (Peer* one : {&sender, &receiver}) one->expect("connected");
  sender.expect("flooding");
  receiver.expect("awaiting");
  watcher.expect("watching");
  for (Peer* one : {&host, &everywhere, &everywhere}) {
    one->expect("accepted");
    one->expect("datagram");
  }
  device.begin_to_remove();
  EXPECT_EQ(host.expect_number("failed"), kGone);
  EXPECT_EQ(sender.expect_number("ended"), kGone);
  EXPECT_EQ(receiver.expect_number("ended"), kGone);
  EXPECT_EQ(datagrams.expect_number("ended"), kGone);
  EXPECT_EQ(watcher.expect_number("told " + std::to_string(EC_HUP)), kGone);
  expect_service(everywhere, by_first_device(everywhere));
}

}  // namespace
}  // namespace sio::test
