// SPDX-License-Identifier: BSD-2-Clause
//
// Devices that come when a program is at work, and go.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

int run(const std::string& command) {
  return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str());
}

// A second device of the machine, on an interface of its own, with an address for documentation
// (RFC 5737), which is nobody's.
class SecondDevice {
 public:
  SecondDevice() = default;
  SecondDevice(const SecondDevice&) = delete;
  SecondDevice& operator=(const SecondDevice&) = delete;
  ~SecondDevice() {
    if (there_ && !removal_.joinable()) begin_to_remove();
    if (there_) removal_.join();
    run("ip link delete siotest");
  }

  // False: it can not be had here.
  bool add() {
    there_ = run("ip link add siotest type dummy && ip address add 203.0.113.1/24 dev siotest && "
                 "ip link set siotest up && rdma link add siorxe type rxe netdev siotest") == 0;
    return there_;
  }
  static constexpr const char* address() { return "203.0.113.1"; }
  // It is told of at once; rxe then waits until no process has it open any more.
  void begin_to_remove() {
    removal_ = std::thread([] { EXPECT_EQ(run("rdma link delete siorxe"), 0); });
  }

 private:
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

  static Peer dial(Peer& host, const std::string& address, const char* more = "") {
    return Peer("dial to=" + address + " port=" + std::to_string(host.address().port()) + " " +
                more);
  }
};

// The connection manager takes it for one of ours, or one of ours for a new one.
TEST_F(Devices, ThatComeLaterAreNotUsedAndLeaveTheOthersAlone) {
  SecondDevice later;  // goes last: the others have it open, too
  Peer host("host");
  const auto is_served = [&] {
    Peer guest = dial(host, Address::self().text());
    guest.expect("connecting");
    guest.expect("connected");
    host.expect("accepted");
    host.expect("datagram");
  };
  is_served();
  if (!later.add()) GTEST_SKIP() << "no rxe device can be added here";
  for (int i = 0; i < 2; ++i) {
    Peer stranger = dial(host, SecondDevice::address());
    stranger.expect("connecting");
    EXPECT_EQ(stranger.expect_number("failed"), static_cast<uint64_t>(ECONNREFUSED));
    is_served();
  }
}

TEST_F(Devices, ThatGoAreToldOfByEveryCallThatWaits) {
  SecondDevice device;
  if (!device.add()) GTEST_SKIP() << "no rxe device can be added here";
  Peer host(std::string("host at=") + SecondDevice::address());
  Peer guest = dial(host, SecondDevice::address(), "then=flood");
  guest.expect("connecting");
  guest.expect("connected");
  host.expect("accepted");
  host.expect("datagram");
  guest.expect("flooding");
  device.begin_to_remove();
  EXPECT_EQ(host.expect_number("failed"), static_cast<uint64_t>(ENODEV));
  EXPECT_EQ(guest.expect_number("ended"), static_cast<uint64_t>(ENODEV));
}

}  // namespace
}  // namespace sio::test
