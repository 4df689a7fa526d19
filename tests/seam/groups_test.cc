// SPDX-License-Identifier: BSD-2-Clause
//
// Multicast: groups that unreliable datagram queue pairs are attached to.
#include <gmock/gmock.h>

#include <cstring>

#include "seam/desk.h"
#include "seam/events.h"

namespace sio::test {
namespace {

using internal::provider::ConnectionEvent;
using internal::provider::Destination;
using internal::provider::Endpoint;
using testing::IsEmpty;
using Kind = ConnectionEvent::Kind;

Address group_of(int family, int n) {
  const std::string last = std::to_string(n);
  return {(family == AF_INET ? "239.255.7." : "ff15::7:") + last, 0};
}

// A membership, and where to send to.
struct Group {
  std::unique_ptr<Endpoint> endpoint;
  std::unique_ptr<Destination> destination;
};

Group join(const Address& at, const Address& group, bool receive) {
  Group joined{connections().create_datagram_endpoint(), nullptr};
  must_not_fail(joined.endpoint->bind(at.get(), false), "bind");
  must_not_fail(joined.endpoint->join(group.get(), receive), "join");
  joined.destination = expect_event(Kind::kEstablished, joined.endpoint.get()).destination;
  if (joined.destination == nullptr) fail("no destination");
  return joined;
}

struct Member {
  explicit Member(const Address& at) : desk(own_device()) {
    end.endpoint = connections().create_datagram_endpoint();
    must_not_fail(end.endpoint->bind(at.get(), false), "bind");
    end.pair = end.endpoint->create_queue_pair(desk.queue(), kDatagramSizes);
  }

  void send_to(const Destination& to, const char* text) {
    const size_t size = std::strlen(text);
    std::memcpy(desk.slot(0), text, size);
    ibv_sge piece = desk.piece(0, size);
    ibv_send_wr wr{};
    wr.wr_id = 99;
    wr.sg_list = &piece;
    wr.num_sge = 1;
    wr.opcode = IBV_WR_SEND_WITH_IMM;
    wr.send_flags = IBV_SEND_SIGNALED;
    wr.wr.ud.ah = to.handle();
    wr.wr.ud.remote_qpn = to.queue_pair();
    wr.wr.ud.remote_qkey = to.key();
    ibv_send_wr* bad;
    must_not_fail(end.pair->post_send(&wr, &bad), "post_send");
    EXPECT_EQ(desk.expect(1).front().status, IBV_WC_SUCCESS);
  }

  Desk desk;
  End end;
};

class Groups : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    at_ = self_of(GetParam());
    if (at_.family() != GetParam()) GTEST_SKIP() << "the device has no such address";
    const char* const why = no_groups(at_);
    if (why != nullptr) GTEST_SKIP() << why;
  }
  Address group(int n) const { return group_of(GetParam(), n); }

  Address at_;
};

INSTANTIATE_TEST_SUITE_P(All, Groups, testing::Values(AF_INET, AF_INET6),
                         [](const auto& info) { return info.param == AF_INET ? "IPv4" : "IPv6"; });

TEST_P(Groups, AreJoinedAndLeft) {
  for (const bool receive : {false, true}) {
    for (int i = 0; i < 3; ++i) join(at_, group(1), receive);
  }
}

TEST_P(Groups, HaveTheOtherMembersOfTheMachineGetWhatIsSent) {
  Member near(at_);
  Member far(at_);
  Member third(at_);
  const Group sending = join(at_, group(2), false);
  const Group receiving = join(at_, group(2), true);
  for (Member* one : {&far, &third}) {
    must_not_fail(one->end.pair->attach(*receiving.destination), "attach");
    one->end.receive_into(one->desk, 3);
  }
  near.send_to(*sending.destination, "to all");
  for (Member* one : {&far, &third}) {
    const ibv_wc wc = one->desk.expect(1).front();
    EXPECT_EQ(wc.byte_len, kGrh + 6);
    EXPECT_EQ(wc.src_qp, near.end.pair->number());
    EXPECT_EQ(one->desk.text(3, kGrh, 6), "to all");
  }
  for (Member* one : {&far, &third}) {
    must_not_fail(one->end.pair->detach(*receiving.destination), "detach");
    one->end.receive_into(one->desk, 3);
  }
  near.send_to(*sending.destination, "nobody");
  EXPECT_THAT(far.desk.poll_for(milliseconds(50)), IsEmpty());
  EXPECT_THAT(third.desk.poll_for(milliseconds(50)), IsEmpty());
}

TEST_P(Groups, AreToldApart) {
  Member near(at_);
  Member far(at_);
  const Group other = join(at_, group(3), false);
  const Group receiving = join(at_, group(4), true);
  must_not_fail(far.end.pair->attach(*receiving.destination), "attach");
  far.end.receive_into(far.desk, 3);
  near.send_to(*other.destination, "elsewhere");
  EXPECT_THAT(far.desk.poll_for(milliseconds(50)), IsEmpty());
  must_not_fail(far.end.pair->detach(*receiving.destination), "detach");
}

TEST_P(Groups, NeedAnAddressOfTheirKind) {
  const auto endpoint = connections().create_datagram_endpoint();
  EXPECT_NE(endpoint->join(group(6).get(), true), 0);
  const Member near(at_);
  const Group sending = join(at_, group(6), false);
  EXPECT_NE(near.end.pair->detach(*sending.destination), 0);
}

}  // namespace
}  // namespace sio::test
