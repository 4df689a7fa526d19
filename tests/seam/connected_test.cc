// SPDX-License-Identifier: BSD-2-Clause
//
// Reliable connected queue pairs: what the library above relies on, of any provider.
#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <array>
#include <cstring>

#include "seam/desk.h"
#include "seam/events.h"

namespace sio::test {
namespace {

using Kind = internal::provider::ConnectionEvent::Kind;
using testing::AnyOf;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

// Oftener than any provider could take for a program that is about to sleep.
void poll_on_and_on(internal::provider::CompletionQueue& queue) {
  ibv_wc wc;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(queue.poll(1, &wc), 0);
}

class Connected : public testing::Test {
 protected:
  Desk near_{own_device()};
  Desk far_{own_device()};
  Connection link_ = connect(near_, kSizes, far_, kSizes);
};

TEST_F(Connected, ChainArrivesInItsOrderWithLengthsAndImmediates) {
  constexpr std::array<size_t, 4> kLengths = {0, 1, 1000, 4096};
  std::memset(near_.slot(0), 'x', Desk::kSlot);
  std::array<ibv_sge, kLengths.size()> pieces;
  std::array<ibv_send_wr, kLengths.size()> chain{};
  for (size_t i = 0; i < chain.size(); ++i) {
    link_.far.receive_into(far_, i);
    pieces[i] = near_.piece(0, kLengths[i]);
    chain[i].wr_id = i;
    chain[i].next = i + 1 < chain.size() ? &chain[i + 1] : nullptr;
    chain[i].sg_list = &pieces[i];
    chain[i].num_sge = kLengths[i] > 0 ? 1 : 0;
    chain[i].opcode = i % 2 == 0 ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND;
    chain[i].imm_data = htonl(0x01020300 + static_cast<uint32_t>(i));
    chain[i].send_flags = IBV_SEND_SIGNALED;
  }
  ibv_send_wr* bad;
  ASSERT_EQ(link_.near.pair->post_send(chain.data(), &bad), 0);
  const auto received = far_.expect(chain.size());
  EXPECT_THAT(wr_ids(received), ElementsAre(0, 1, 2, 3));
  for (size_t i = 0; i < chain.size(); ++i) {
    EXPECT_EQ(received[i].status, IBV_WC_SUCCESS);
    EXPECT_EQ(received[i].opcode, IBV_WC_RECV);
    EXPECT_EQ(received[i].byte_len, kLengths[i]);
    EXPECT_EQ(received[i].qp_num, link_.far.pair->number());
    EXPECT_EQ((received[i].wc_flags & IBV_WC_WITH_IMM) != 0, i % 2 == 0);
    if (i % 2 == 0) {
      EXPECT_EQ(ntohl(received[i].imm_data), 0x01020300 + i);
    }
    EXPECT_EQ(far_.text(i, 0, kLengths[i]), std::string(kLengths[i], 'x'));
  }
  const auto sent = near_.expect(chain.size());
  EXPECT_THAT(wr_ids(sent), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(sent, Each(has_status(IBV_WC_SUCCESS)));
}

TEST_F(Connected, PiecesAreGathered) {
  std::strcpy(near_.slot(0), "one");
  std::strcpy(near_.slot(1), "two");
  std::array<ibv_sge, 3> pieces = {near_.piece(0, 3), near_.piece(7, 0), near_.piece(1, 3)};
  ibv_send_wr wr{};
  wr.sg_list = pieces.data();
  wr.num_sge = pieces.size();
  wr.opcode = IBV_WR_SEND;
  link_.far.receive_into(far_, 0);
  ibv_send_wr* bad;
  ASSERT_EQ(link_.near.pair->post_send(&wr, &bad), 0);
  EXPECT_EQ(far_.expect(1).front().byte_len, 6u);
  EXPECT_EQ(far_.text(0, 0, 6), "onetwo");
}

TEST_F(Connected, InlineMessageMayBeOverwrittenAtOnce) {
  std::strcpy(near_.slot(0), "first");
  link_.near.send(near_, 0, 5, IBV_SEND_SIGNALED | IBV_SEND_INLINE);
  std::strcpy(near_.slot(0), "later");
  link_.far.receive_into(far_, 0);  // so that it had to wait
  far_.expect(1);
  EXPECT_EQ(far_.text(0, 0, 5), "first");
}

TEST_F(Connected, MessageWaitsForAReceiver) {
  link_.near.send(near_, 3, 100);
  EXPECT_THAT(far_.poll_for(milliseconds(50)), IsEmpty());
  EXPECT_THAT(near_.poll_for(milliseconds(0)), IsEmpty()) << "nobody has taken it";
  link_.far.receive_into(far_, 9);
  EXPECT_THAT(wr_ids(far_.expect(1)), ElementsAre(9));
  EXPECT_THAT(wr_ids(near_.expect(1)), ElementsAre(3));
}

TEST_F(Connected, FailureFlushesAllThatWasPostedInItsOrder) {
  link_.near.send(near_, 1, 10);  // finds no receive
  link_.near.send(near_, 2, 10);
  for (size_t i = 5; i < 9; ++i) link_.near.receive_into(near_, i);
  link_.near.pair->fail();
  std::vector<uint64_t> sends;
  std::vector<uint64_t> receives;
  const auto completions = near_.expect(6);
  for (const ibv_wc& wc : completions) (wc.wr_id < 5 ? sends : receives).push_back(wc.wr_id);
  EXPECT_THAT(completions, Each(has_status(IBV_WC_WR_FLUSH_ERR)));
  EXPECT_THAT(sends, ElementsAre(1, 2));
  EXPECT_THAT(receives, ElementsAre(5, 6, 7, 8));
}

TEST_F(Connected, FailedQueuePairFlushesWhatIsPostedLater) {
  link_.near.pair->fail();
  link_.near.send(near_, 1, 10);
  EXPECT_THAT(near_.expect(1), Each(has_status(IBV_WC_WR_FLUSH_ERR)));
}

TEST_F(Connected, MessageThatIsTooLongFailsBothEnds) {
  link_.far.receive_into(far_, 0, 10);
  link_.near.send(near_, 0, 11);
  // rxe says that it was the operation.
  EXPECT_THAT(far_.expect(1).front().status, AnyOf(IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_QP_OP_ERR));
  EXPECT_THAT(near_.expect(1).front().status, AnyOf(IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_OP_ERR));
  link_.near.send(near_, 1, 1);
  EXPECT_EQ(near_.expect(1).front().status, IBV_WC_WR_FLUSH_ERR);
}

TEST_F(Connected, MemoryOfNobodyFailsTheSendThatNamesIt) {
  std::array<ibv_sge, 3> pieces;
  std::array<ibv_send_wr, 3> chain{};
  for (size_t i = 0; i < chain.size(); ++i) {
    link_.far.receive_into(far_, i);
    pieces[i] = near_.piece(0, 10);
    chain[i].wr_id = i;
    chain[i].next = i + 1 < chain.size() ? &chain[i + 1] : nullptr;
    chain[i].sg_list = &pieces[i];
    chain[i].num_sge = 1;
    chain[i].opcode = IBV_WR_SEND;
    chain[i].send_flags = IBV_SEND_SIGNALED;
  }
  pieces[2].lkey ^= 0x5a5a00;
  ibv_send_wr* bad;
  ASSERT_EQ(link_.near.pair->post_send(chain.data(), &bad), 0);
  EXPECT_THAT(wr_ids(far_.expect(2)), ElementsAre(0, 1));
  const auto sent = near_.expect(3);
  EXPECT_NE(sent[2].status, IBV_WC_SUCCESS);
  // rxe has other statuses, and that of Linux 6.12 flushes what was not acknowledged by then.
  if (on_soft()) {
    EXPECT_EQ(sent[0].status, IBV_WC_SUCCESS);
    EXPECT_EQ(sent[1].status, IBV_WC_SUCCESS);
    EXPECT_EQ(sent[2].status, IBV_WC_LOC_PROT_ERR);
  }
}

TEST_F(Connected, NothingIsReceivedIntoMemoryThatIsForSending) {
  alignas(64) static char memory[128];
  const auto region = own_device().register_memory(memory, sizeof memory, false);
  ibv_sge piece{reinterpret_cast<uintptr_t>(memory), sizeof memory, region->lkey()};
  ibv_recv_wr wr{};
  wr.sg_list = &piece;
  wr.num_sge = 1;
  ibv_recv_wr* bad;
  ASSERT_EQ(link_.far.pair->post_recv(&wr, &bad), 0);
  std::memset(near_.slot(0), 'x', 100);
  link_.near.send(near_, 0, 100);
  EXPECT_NE(near_.expect(1).front().status, IBV_WC_SUCCESS);
  EXPECT_EQ(memory[0], 0);
}

TEST_F(Connected, SendToAQueuePairThatHasFailedIsTold) {
  link_.far.pair->fail();
  link_.near.send(near_, 0, 10);
  EXPECT_EQ(near_.expect(1).front().status, IBV_WC_RETRY_EXC_ERR);
}

TEST_F(Connected, EndpointHasOneQueuePair) {
  EXPECT_THROW(link_.near.endpoint->create_queue_pair(near_.queue(), kSizes), std::system_error);
  link_.far.receive_into(far_, 0);
  link_.near.send(near_, 0, 10);
  EXPECT_THAT(far_.expect(1), Each(has_status(IBV_WC_SUCCESS)));
}

TEST_F(Connected, FullQueueTakesTheFrontOfAChain) {
  std::vector<ibv_send_wr> chain(5000);  // more than any device grants for 16
  for (size_t i = 0; i < chain.size(); ++i) {
    chain[i].wr_id = i;
    chain[i].next = i + 1 < chain.size() ? &chain[i + 1] : nullptr;
    chain[i].opcode = IBV_WR_SEND;  // nobody has posted a receive for it
    chain[i].send_flags = IBV_SEND_SIGNALED;
  }
  ibv_send_wr* bad = nullptr;
  EXPECT_EQ(link_.near.pair->post_send(chain.data(), &bad), -ENOMEM);
  const auto taken = static_cast<size_t>(bad - chain.data());
  EXPECT_GE(taken, kSizes.send_wr);
  ASSERT_LT(taken, chain.size());
  link_.near.pair->fail();
  EXPECT_EQ(near_.expect(taken).back().wr_id, taken - 1);
  EXPECT_THAT(near_.poll_for(milliseconds(20)), IsEmpty());
}

TEST_F(Connected, UnsignalledSendsSayNothingAndGiveTheirRoomBack) {
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 0; i < 8; ++i) {
      link_.far.receive_into(far_, i);
      link_.near.send(near_, i, 1, i < 7 ? 0u : unsigned{IBV_SEND_SIGNALED});
    }
    far_.expect(8);
    EXPECT_THAT(wr_ids(near_.expect(1)), ElementsAre(7));
  }
}

TEST_F(Connected, ArmedQueueNotifiesOfASolicitedMessage) {
  link_.far.receive_into(far_, 0);
  ASSERT_EQ(far_.queue().arm(true), 0);
  link_.near.send(near_, 0, 1, IBV_SEND_SIGNALED | IBV_SEND_SOLICITED);
  EXPECT_TRUE(far_.sleep(kSoon));
  EXPECT_THAT(wr_ids(far_.expect(1)), ElementsAre(0));
}

// However long a program has only polled, it can go to sleep.
TEST_F(Connected, QueueThatWasPolledOnAndOnNotifiesOnceItIsArmed) {
  for (size_t i = 0; i < 4; ++i) {
    link_.far.receive_into(far_, i);
    poll_on_and_on(far_.queue());
    ASSERT_EQ(far_.queue().arm(false), 0);
    link_.near.send(near_, 0, 1);
    EXPECT_TRUE(far_.sleep(kSoon));
    EXPECT_THAT(wr_ids(far_.expect(1)), ElementsAre(i));
  }
}

// Without being armed again: the first completion after the arming is to be told of, though who
// polled has seen it, or else the next one.
TEST_F(Connected, ArmedQueueThatIsPolledOnAndOnStillNotifies) {
  for (const bool long_before : {false, true}) {
    for (size_t i = 0; i < 2; ++i) link_.far.receive_into(far_, i);
    ASSERT_EQ(far_.queue().arm(false), 0);
    if (long_before) poll_on_and_on(far_.queue());
    link_.near.send(near_, 0, 1);
    far_.expect(1);
    poll_on_and_on(far_.queue());
    link_.near.send(near_, 0, 1);
    EXPECT_TRUE(far_.sleep(kSoon));
    far_.expect(1);
  }
}

TEST_F(Connected, QueueThatIsMadeLargerKeepsWhatIsInItAndStaysArmed) {
  for (size_t i = 0; i < 4; ++i) link_.far.receive_into(far_, i);
  ASSERT_EQ(far_.queue().arm(false), 0);
  for (size_t i = 0; i < 3; ++i) link_.near.send(near_, 0, 1);
  EXPECT_TRUE(far_.sleep(kSoon));
  near_.expect(3);
  ASSERT_EQ(far_.queue().resize(3000), 0);
  EXPECT_GE(far_.queue().capacity(), 3000u);
  EXPECT_THAT(wr_ids(far_.expect(3)), ElementsAre(0, 1, 2));
  ASSERT_EQ(far_.queue().arm(false), 0);
  ASSERT_EQ(far_.queue().resize(6000), 0);
  link_.near.send(near_, 0, 1);
  EXPECT_TRUE(far_.sleep(kSoon));
  EXPECT_THAT(wr_ids(far_.expect(1)), ElementsAre(3));
}

TEST_F(Connected, EmptyWriteTakesNoReceive) {
  ibv_send_wr wr{};
  wr.wr_id = 4;
  wr.opcode = IBV_WR_RDMA_WRITE;
  wr.send_flags = IBV_SEND_SIGNALED;
  ibv_send_wr* bad;
  ASSERT_EQ(link_.near.pair->post_send(&wr, &bad), 0);
  const ibv_wc wc = near_.expect(1).front();
  EXPECT_EQ(wc.status, IBV_WC_SUCCESS);
  EXPECT_EQ(wc.opcode, IBV_WC_RDMA_WRITE);
}

TEST_F(Connected, PeerHearsOfADisconnect) {
  ASSERT_EQ(link_.near.endpoint->disconnect(), 0);
  expect_event(Kind::kDisconnected, link_.far.endpoint.get());
  link_.far.endpoint->disconnect();
  expect_event(Kind::kDisconnected, link_.near.endpoint.get());
}

}  // namespace
}  // namespace sio::test
