// SPDX-License-Identifier: BSD-2-Clause
//
// Unreliable datagram queue pairs, and how they are found.
#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <cstring>
#include <string>

#include "base/fd.h"
#include "provider/soft/datagram_frame.h"
#include "seam/desk.h"
#include "seam/events.h"

namespace sio::test {
namespace {

using internal::provider::ConnectionEvent;
using internal::provider::Destination;
using testing::ElementsAre;
using testing::IsEmpty;
using Kind = ConnectionEvent::Kind;

End make_end(Desk& desk, const Address& address) {
  End end;
  end.endpoint = connections().create_datagram_endpoint();
  must_not_fail(end.endpoint->bind(address.get(), false), "bind");
  end.pair = end.endpoint->create_queue_pair(desk.queue(), kDatagramSizes);
  return end;
}

// Who is at the address of that end; not found: the event says why.
ConnectionEvent look_up(const End& end) {
  const sockaddr_storage name = end.endpoint->local_address();
  const auto question = connections().create_datagram_endpoint();
  must_not_fail(question->resolve(reinterpret_cast<const sockaddr*>(&name), 5000), "resolve");
  expect_event(Kind::kResolved, question.get());
  must_not_fail(question->connect({}), "connect");
  return next_event(question.get());
}

void send_to(End& from, Desk& desk, const Destination& to, size_t slot, size_t bytes,
             uint32_t wrong_key = 0, uint32_t wrong_number = 0) {
  ibv_sge piece = desk.piece(slot, bytes);
  ibv_send_wr wr{};
  wr.wr_id = slot;
  wr.sg_list = &piece;
  wr.num_sge = 1;
  wr.opcode = IBV_WR_SEND_WITH_IMM;
  wr.imm_data = htonl(77);
  wr.send_flags = IBV_SEND_SIGNALED;
  wr.wr.ud.ah = to.handle();
  wr.wr.ud.remote_qpn = to.queue_pair() ^ wrong_number;
  wr.wr.ud.remote_qkey = to.key() ^ wrong_key;
  ibv_send_wr* bad;
  must_not_fail(from.pair->post_send(&wr, &bad), "post_send");
}

class Datagrams : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const Address address = self_of(GetParam());
    if (address.family() != GetParam()) GTEST_SKIP() << "the device has no such address";
    near_ = make_end(desk_, address);
    far_ = make_end(far_desk_, address);
    must_not_fail(far_.endpoint->listen(1), "listen");
    to_far_ = look_up(far_).destination;
    ASSERT_NE(to_far_, nullptr);
  }

  Desk desk_{own_device()};
  Desk far_desk_{own_device()};
  End near_;
  End far_;
  std::unique_ptr<Destination> to_far_;
};

INSTANTIATE_TEST_SUITE_P(All, Datagrams, testing::Values(AF_INET, AF_INET6),
                         [](const auto& info) { return info.param == AF_INET ? "IPv4" : "IPv6"; });

TEST_P(Datagrams, ArriveAfterTheRoomForAHeader) {
  const size_t mtu = far_.endpoint->port_info().mtu;
  ASSERT_GE(mtu, 256u);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, mtu}) {
    std::memset(desk_.slot(0), static_cast<int>('a' + size % 26), size);
    far_.receive_into(far_desk_, 3);
    send_to(near_, desk_, *to_far_, 0, size);
    const ibv_wc wc = far_desk_.expect(1).front();
    EXPECT_EQ(wc.status, IBV_WC_SUCCESS);
    EXPECT_EQ(wc.opcode, IBV_WC_RECV);
    EXPECT_EQ(wc.byte_len, kGrh + size);
    EXPECT_EQ(wc.qp_num, far_.pair->number());
    EXPECT_EQ(wc.src_qp, near_.pair->number());
    EXPECT_EQ(wc.wc_flags & (IBV_WC_GRH | IBV_WC_WITH_IMM), IBV_WC_GRH | IBV_WC_WITH_IMM);
    EXPECT_EQ(ntohl(wc.imm_data), 77u);
    EXPECT_EQ(far_desk_.text(3, kGrh, size), desk_.text(0, 0, size));
    EXPECT_EQ(desk_.expect(1).front().status, IBV_WC_SUCCESS);
  }
}

TEST_P(Datagrams, SayWhereAnAnswerGoes) {
  far_.receive_into(far_desk_, 0);
  send_to(near_, desk_, *to_far_, 0, 5);
  const ibv_wc question = far_desk_.expect(1).front();
  const auto back = far_.endpoint->source_of(question, far_desk_.slot(0));
  near_.receive_into(desk_, 9);
  std::strcpy(far_desk_.slot(1), "answer");
  send_to(far_, far_desk_, *back, 1, 6);
  desk_.expect(2);  // what was sent, what has come
  EXPECT_EQ(desk_.text(9, kGrh, 6), "answer");
}

TEST_P(Datagrams, ForOthersAreDropped) {
  far_.receive_into(far_desk_, 0);
  send_to(near_, desk_, *to_far_, 0, 5, 1);
  send_to(near_, desk_, *to_far_, 0, 5, 0, 0x800);
  desk_.expect(2);
  EXPECT_THAT(far_desk_.poll_for(milliseconds(50)), IsEmpty());
  send_to(near_, desk_, *to_far_, 0, 5);
  EXPECT_THAT(wr_ids(far_desk_.expect(1)), ElementsAre(0));
}

// What comes to the soft provider's port is anybody's.
TEST_P(Datagrams, OfStrangersAreDropped) {
  using internal::provider::soft::DatagramHeader;
  if (!on_soft()) GTEST_SKIP() << "only the soft provider speaks UDP";
  const sockaddr_storage name = far_.endpoint->local_address();
  const internal::OwnFd stranger(socket(GetParam(), SOCK_DGRAM, 0));
  const socklen_t size = GetParam() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  must(::connect(stranger.get(), reinterpret_cast<const sockaddr*>(&name), size), "connect");
  const auto say = [&](std::string_view bytes) {
    must(static_cast<int>(::send(stranger.get(), bytes.data(), bytes.size(), 0)), "send");
  };
  DatagramHeader header;
  header.kind = DatagramHeader::Kind::kMessage;
  header.destination = to_far_->queue_pair();
  header.key = to_far_->key();
  const auto good = encode(header);
  const std::string whole(good.begin(), good.end());
  far_.receive_into(far_desk_, 0, 2 * Desk::kSlot);
  say("");
  say("hello");
  say(std::string(60'000, 'x'));
  say(whole.substr(0, DatagramHeader::kSize - 1));
  say(whole + std::string(4097, 'x'));  // longer than any of ours
  for (size_t i = 0; i < 20; ++i) {     // of these nothing may differ
    std::string bent = whole + "payload";
    bent[i] = static_cast<char>(bent[i] ^ 0x40);
    if (i < 12 || i >= 16) say(bent);  // the source is whatever it says
  }
  EXPECT_THAT(far_desk_.poll_for(milliseconds(50)), IsEmpty());
  say(whole + "payload");
  const ibv_wc wc = far_desk_.expect(1).front();
  EXPECT_EQ(wc.byte_len, kGrh + 7);
  EXPECT_EQ(far_desk_.text(0, kGrh, 7), "payload");
}

TEST_P(Datagrams, WithoutAReceiveAreLost) {
  send_to(near_, desk_, *to_far_, 0, 5);
  desk_.expect(1);
  EXPECT_THAT(far_desk_.poll_for(milliseconds(50)), IsEmpty());
  far_.receive_into(far_desk_, 0);
  std::strcpy(desk_.slot(1), "later");
  send_to(near_, desk_, *to_far_, 1, 5);
  far_desk_.expect(1);
  EXPECT_EQ(far_desk_.text(0, kGrh, 5), "later");
}

TEST_P(Datagrams, LongerThanTheMtuDoNotArrive) {
  far_.receive_into(far_desk_, 0);
  send_to(near_, desk_, *to_far_, 0, far_.endpoint->port_info().mtu + 1);
  EXPECT_THAT(far_desk_.poll_for(milliseconds(50)), IsEmpty());
}

TEST_P(Datagrams, AreFlushedByAFailure) {
  for (size_t i = 0; i < 3; ++i) far_.receive_into(far_desk_, i);
  far_.pair->fail();
  const auto completions = far_desk_.expect(3);
  EXPECT_THAT(wr_ids(completions), ElementsAre(0, 1, 2));
  for (const ibv_wc& wc : completions) EXPECT_EQ(wc.status, IBV_WC_WR_FLUSH_ERR);
}

TEST_P(Datagrams, WakeASleeper) {
  far_.receive_into(far_desk_, 0);
  ASSERT_EQ(far_desk_.queue().arm(false), 0);
  EXPECT_FALSE(far_desk_.sleep(milliseconds(20)));
  send_to(near_, desk_, *to_far_, 0, 5);
  EXPECT_TRUE(far_desk_.sleep(kSoon));
  far_desk_.expect(1);
}

TEST_P(Datagrams, OfNobodyWhoListensAreNotFound) { EXPECT_EQ(look_up(near_).kind, Kind::kRefused); }

TEST_P(Datagrams, OfNobodyAreNotFound) {
  far_.pair.reset();
  const sockaddr_storage name = far_.endpoint->local_address();
  far_.endpoint.reset();
  const auto question = connections().create_datagram_endpoint();
  must_not_fail(question->resolve(reinterpret_cast<const sockaddr*>(&name), 5000), "resolve");
  expect_event(Kind::kResolved, question.get());
  must_not_fail(question->connect({}), "connect");
  EXPECT_EQ(next_event(question.get()).kind, Kind::kRefused);
}

TEST_P(Datagrams, QuestionMayBeGivenUp) {
  const sockaddr_storage name = far_.endpoint->local_address();
  for (int i = 0; i < 20; ++i) {
    const auto question = connections().create_datagram_endpoint();
    must_not_fail(question->resolve(reinterpret_cast<const sockaddr*>(&name), 5000), "resolve");
    expect_event(Kind::kResolved, question.get());
    must_not_fail(question->connect({}), "connect");
  }
  EXPECT_NE(look_up(far_).destination, nullptr);
}

}  // namespace
}  // namespace sio::test
