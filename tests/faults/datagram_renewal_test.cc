// SPDX-License-Identifier: BSD-2-Clause
//
// A datagram socket whose queue pair fails gets another one: what it was in, it is in afterwards.
#include <gtest/gtest.h>

#include <functional>

#include "conformance/datagrams.h"
#include "faults/fault_plan.h"

namespace sio::test {
namespace {

Address group(int n, uint16_t port = 0) { return {"239.255.10." + std::to_string(n), port}; }

class RenewalOfDatagrams : public testing::Test {
 protected:
  void SetUp() override {
    if (Address::self().family() != AF_INET) GTEST_SKIP() << "the address is not one of IPv4";
    member_.bind(Address::self());
    stranger_.bind(Address::self());
  }
  void TearDown() override {
    member_.close();
    stranger_.close();
    EXPECT_TRUE(eventually([] { return plan().left().empty(); })) << plan().left() << "are left";
  }

  Address at_member(int n) const { return group(n, member_.name().port()); }

  // Its queue pair fails by what is sent, or by what comes; it has another one then.
  void fail_by_send() {
    send_to(member_, stranger_.name(), "known");
    EXPECT_TRUE(await_from(stranger_));
    member_.flush();
    stranger_.flush();
    plan().next_send.set(IBV_WC_LOC_QP_OP_ERR);
    await_renewal([&] { send_to(member_, stranger_.name(), "the last one of this queue pair"); });
  }
  void fail_by_receive() {
    plan().next_receive.set(IBV_WC_GENERAL_ERR);
    await_renewal([&] { send_to(stranger_, at_member(1), "the last one of this queue pair"); });
  }

  // The member gets what is sent to this group.
  bool hears(int n) {
    const std::string text = "number " + std::to_string(++number_);
    send_to(stranger_, at_member(n), text);
    const auto received = await_from(member_);
    return received && received->message.view() == text;
  }

  Socket member_ = make_datagram_socket();
  Socket stranger_ = make_datagram_socket();

 private:
  void await_renewal(const std::function<void()>& blow) {
    const uint32_t before = member_.info().qp_num;
    blow();
    EXPECT_TRUE(eventually([&] {
      while (try_receive_from(member_)) {
      }
      return member_.info().qp_num != before;
    }));
    while (try_receive_from(stranger_)) {
    }
  }

  int number_ = 0;
};

TEST_F(RenewalOfDatagrams, KeepsTheGroupsThatWereJoined) {
  join(member_, group(1));
  join(member_, group(2));
  EXPECT_TRUE(hears(1));
  EXPECT_TRUE(hears(2));
  for (int i = 0; i < 3; ++i) {
    fail_by_send();
    EXPECT_EQ(plan().attached, 2);
    EXPECT_TRUE(hears(1));
    EXPECT_TRUE(hears(2));
    fail_by_receive();
    EXPECT_EQ(plan().attached, 2);
    EXPECT_TRUE(hears(1));
    EXPECT_TRUE(hears(2));
  }
}

TEST_F(RenewalOfDatagrams, LeavesGroupsAsBefore) {
  join(member_, group(1));
  join(member_, group(2));
  fail_by_send();
  EXPECT_EQ(try_leave(member_, group(1)), 0);
  EXPECT_EQ(try_leave(member_, group(1)), EADDRNOTAVAIL);
  EXPECT_EQ(plan().attached, 1);
  EXPECT_TRUE(hears(2));
  fail_by_send();
  EXPECT_EQ(plan().attached, 1) << "one that was left is not joined anew";
  EXPECT_TRUE(hears(2));
  join(member_, group(1));
  EXPECT_EQ(try_join(member_, group(2)), EADDRINUSE);
  EXPECT_TRUE(hears(1));
}

TEST_F(RenewalOfDatagrams, IsOfTheSameAddress) {
  const Address before = member_.name();
  fail_by_send();
  EXPECT_EQ(member_.name(), before);
  const Socket newcomer = make_datagram_socket();
  send_to(newcomer, before, "who knew nothing");
  const auto received = await_from(member_);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->message.view(), "who knew nothing");
}

// Closed between the failure and the new queue pair.
TEST_F(RenewalOfDatagrams, ThatIsStillToComeHoldsUpNoClose) {
  join(member_, group(1));
  fail_by_send();
  plan().next_send.set(IBV_WC_LOC_QP_OP_ERR);
  send_to(member_, stranger_.name(), "within a tenth of a second of the last");
  EXPECT_EQ(member_.close(), 0);
  EXPECT_TRUE(eventually([] { return plan().attached == 0; }));
}

}  // namespace
}  // namespace sio::test
