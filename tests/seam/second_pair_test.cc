// SPDX-License-Identifier: BSD-2-Clause
//
// The second queue pair of a connection: what the library above relies on, of any provider.
#include <gmock/gmock.h>

#include <cstring>

#include "seam/desk.h"

namespace sio::test {
namespace {

using internal::provider::SecondQueuePair;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class SecondPair : public testing::Test {
 protected:
  SecondPair() {
    EXPECT_EQ(near_pair_->connect(far_pair_->number(), far_pair_->first_sequence()), 0);
    EXPECT_EQ(far_pair_->connect(near_pair_->number(), near_pair_->first_sequence()), 0);
  }

  Desk near_{own_device()};
  Desk far_{own_device()};
  Connection link_ = connect(near_, kSizes, far_, kSizes);
  std::unique_ptr<SecondQueuePair> near_pair_ =
      link_.near.endpoint->create_second_pair(near_.queue(), kSizes);
  std::unique_ptr<SecondQueuePair> far_pair_ =
      link_.far.endpoint->create_second_pair(far_.queue(), kSizes);
};

TEST_F(SecondPair, HasANumberOfItsOwn) {
  EXPECT_NE(near_pair_->number(), link_.near.pair->number());
  EXPECT_EQ(near_pair_->peer_number(), far_pair_->number());
  EXPECT_LT(near_pair_->number(), 1u << 24);
  EXPECT_LT(near_pair_->first_sequence(), 1u << 24);
}

TEST_F(SecondPair, TakesItsOwnReceives) {
  receive_into(*far_pair_, far_, 5);
  link_.far.receive_into(far_, 6);
  std::strcpy(near_.slot(0), "second");
  std::strcpy(near_.slot(1), "first");
  send(*near_pair_, near_, 0, 7);
  ibv_wc wc = far_.expect(1).front();
  EXPECT_EQ(wc.wr_id, 5u);
  EXPECT_EQ(wc.byte_len, 7u);
  EXPECT_EQ(wc.qp_num, far_pair_->number());
  EXPECT_EQ(far_.text(5, 0, 6), "second");
  link_.near.send(near_, 1, 6);
  wc = far_.expect(1).front();
  EXPECT_EQ(wc.wr_id, 6u);
  EXPECT_EQ(wc.qp_num, link_.far.pair->number());
  EXPECT_EQ(far_.text(6, 0, 5), "first");
  // Of two queue pairs: either may be told of first.
  EXPECT_THAT(wr_ids(near_.expect(2)), UnorderedElementsAre(0, 1));
}

TEST_F(SecondPair, WorksBothWaysWithMoreThanTheFirstAloneTakes) {
  for (size_t i = 0; i < kSizes.recv_wr; ++i) {
    receive_into(*far_pair_, far_, i);
    link_.far.receive_into(far_, 100 + i);
    receive_into(*near_pair_, near_, 100 + i);
  }
  for (size_t i = 0; i < kSizes.send_wr; ++i) {
    send(*near_pair_, near_, i, 64);
    link_.near.send(near_, i, 64);
    send(*far_pair_, far_, 50 + i, 64);
  }
  EXPECT_THAT(near_.expect(3 * kSizes.send_wr), Each(has_status(IBV_WC_SUCCESS)));
  EXPECT_THAT(far_.expect(3 * kSizes.send_wr), Each(has_status(IBV_WC_SUCCESS)));
}

TEST_F(SecondPair, FlushesWhatIsPostedWhenItFails) {
  receive_into(*near_pair_, near_, 3);
  receive_into(*near_pair_, near_, 4);
  near_pair_->fail();
  const auto flushed = near_.expect(2);
  EXPECT_THAT(wr_ids(flushed), ElementsAre(3, 4));
  EXPECT_THAT(flushed, Each(has_status(IBV_WC_WR_FLUSH_ERR)));
  send(*near_pair_, near_, 1, 1);
  EXPECT_THAT(near_.expect(1), ElementsAre(has_status(IBV_WC_WR_FLUSH_ERR)));
}

TEST_F(SecondPair, RefusesAMessageThatIsTooLong) {
  receive_into(*far_pair_, far_, 2, 100);
  send(*near_pair_, near_, 0, 101);
  EXPECT_NE(near_.expect(1).front().status, IBV_WC_SUCCESS);
  EXPECT_NE(far_.expect(1).front().status, IBV_WC_SUCCESS);
}

TEST_F(SecondPair, GoesAndLeavesNothingBehind) {
  receive_into(*near_pair_, near_, 3);
  near_pair_.reset();
  near_.poll_for(milliseconds(20));
  EXPECT_THAT(near_.poll_for(milliseconds(20)), IsEmpty());
}

}  // namespace
}  // namespace sio::test
