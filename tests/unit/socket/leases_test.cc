// SPDX-License-Identifier: BSD-2-Clause
#include "socket/leases.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

namespace sio::internal {
namespace {

using Lease = Leases::Lease;

constexpr uint32_t kWhole = Leases::kLeast + wire::kControlSlots;  // of the least lease

// The peer uses a credit, the program gives the slot back at once, and credits follow.
void use_one(Leases& leases, Lease& lease) {
  leases.arrived(lease);
  leases.returned(lease);
  leases.grant(lease);
}

// The peer uses all that it has.
void use_all(Leases& leases, Lease& lease) {
  const uint32_t credits = lease.out;
  for (uint32_t i = 0; i < credits; ++i) leases.arrived(lease);
  for (uint32_t i = 0; i < credits; ++i) leases.returned(lease);
  leases.grant(lease);
}

TEST(LeasesTest, AreNoMoreThanThereIsRoomFor) {
  Leases leases(4 * kWhole + kWhole - 1);
  std::vector<Lease> all(5);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(leases.open(all[i]));
  EXPECT_FALSE(leases.open(all[4]));
  EXPECT_EQ(leases.free(), kWhole - 1);
  leases.close(all[2]);
  EXPECT_TRUE(leases.open(all[4]));
}

// Others have all but a few and use none of theirs, and the program keeps what this one has sent.
TEST(LeasesTest, OfAPeerThatHasRunDryGrowAsLongAsAnythingIsFree) {
  Leases leases(100);
  Lease idle;
  ASSERT_TRUE(leases.open(idle));
  for (int i = 0; i < 20; ++i) use_all(leases, idle);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  while (leases.free() > kWhole) {
    for (uint32_t left = lease.out; left > 0; --left) leases.arrived(lease);
    ASSERT_GT(leases.grant(lease), 0u) << leases.free();
  }
  EXPECT_GT(lease.held, 10u);
}

// It begins anew, small, and may be given more as one that has just come.
TEST(LeasesTest, ThatAreRefundedAreFree) {
  Leases leases(100);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  const uint32_t free = leases.free();
  for (int i = 0; i < 20; ++i) use_all(leases, lease);
  ASSERT_GT(lease.out, 10u);
  leases.refunded(lease, lease.out - Leases::kLeast);
  EXPECT_EQ(lease.out, Leases::kLeast);
  EXPECT_EQ(leases.free(), free);
  EXPECT_EQ(leases.grantable(lease), 0u);
  for (int i = 0; i < 20; ++i) use_all(leases, lease);
  EXPECT_GT(lease.out, 10u);
}

// Such a peer has used what it had.
TEST(LeasesTest, ThatAreRefundedWithNothingStayAsTheyAre) {
  Leases leases(1000);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  for (int i = 0; i < 6; ++i) use_all(leases, lease);
  const uint32_t wanted = lease.wanted;
  ASSERT_GT(wanted, 10u);
  leases.refunded(lease, 0);
  EXPECT_EQ(lease.wanted, wanted);
}

TEST(LeasesTest, WishForWhatTheyWouldBeGiven) {
  Leases leases(100);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  for (int i = 0; i < 2; ++i) leases.arrived(lease);
  EXPECT_EQ(lease.wanted, 4u);
  EXPECT_EQ(leases.wish(lease), 2u);
  lease.wanted = 30;
  EXPECT_EQ(leases.wish(lease), 28u);
  lease.held = leases.most() - 1;
  EXPECT_EQ(leases.wish(lease), 1u);
  lease.held = leases.most();
  EXPECT_EQ(leases.wish(lease), 0u);
  lease.held = leases.most() + 1;
  EXPECT_EQ(leases.wish(lease), 0u);
}

// There was no memory for more.
TEST(LeasesTest, AreGrantedInPartAndTheRestLater) {
  Leases leases(1000);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  for (uint32_t left = lease.out; left > 0; --left) leases.arrived(lease);
  for (uint32_t left = lease.held; left > 0; --left) leases.returned(lease);
  const uint32_t all = leases.grantable(lease);
  ASSERT_GT(all, 2u);
  const uint32_t free = leases.free();
  EXPECT_EQ(leases.grant(lease, 0), 0u);
  EXPECT_EQ(leases.grant(lease, 2), 2u);
  EXPECT_EQ(lease.out, 2u);
  EXPECT_LE(leases.free(), free);
  EXPECT_EQ(leases.grant(lease), all - 2);
}

TEST(LeasesTest, BeginSmall) {
  Leases leases(1000);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  EXPECT_EQ(lease.out, Leases::kLeast);
  EXPECT_EQ(leases.grantable(lease), 0u);
}

TEST(LeasesTest, GrowWhileTheirPeerRunsDryUpToTheMost) {
  Leases leases(1000);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  for (uint32_t expected = 4; expected <= Leases::kMost; expected *= 2) {
    use_all(leases, lease);
    EXPECT_EQ(lease.out, expected);
  }
  use_all(leases, lease);
  EXPECT_EQ(lease.out, Leases::kMost);
}

TEST(LeasesTest, LeaveAsMuchFreeAsTheyTake) {
  Leases leases(100);
  Lease greedy;
  ASSERT_TRUE(leases.open(greedy));
  for (int i = 0; i < 20; ++i) use_all(leases, greedy);
  EXPECT_GT(greedy.out, 40u);
  EXPECT_LE(greedy.out, 50u);
  EXPECT_GE(leases.free(), greedy.out - 1);
}

TEST(LeasesTest, AreSharedBetweenGreedyOnes) {
  Leases leases(1000);
  std::vector<Lease> all(9);
  for (Lease& lease : all) ASSERT_TRUE(leases.open(lease));
  for (int round = 0; round < 50; ++round) {
    for (Lease& lease : all) use_all(leases, lease);
  }
  for (const Lease& lease : all) {
    EXPECT_GT(lease.out, 70u);
    EXPECT_LT(lease.out, 130u);
  }
}

TEST(LeasesTest, LeaveRoomForWhoComesHoweverGreedyTheyAre) {
  constexpr uint32_t kAll = 40;
  Leases leases(kAll * kWhole + 20);
  std::deque<Lease> all;
  for (uint32_t i = 0; i < kAll; ++i) {
    for (int round = 0; round < 50; ++round) {
      for (Lease& lease : all) use_all(leases, lease);
    }
    all.emplace_back();
    ASSERT_TRUE(leases.open(all.back())) << i;
  }
}

TEST(LeasesTest, ShrinkWhenTheirPeerUsesLittleOfThem) {
  Leases leases(1000);
  Lease lease;
  ASSERT_TRUE(leases.open(lease));
  for (int i = 0; i < 10; ++i) use_all(leases, lease);
  EXPECT_EQ(lease.out, Leases::kMost);
  for (uint32_t i = 0; i < 4 * Leases::kMost; ++i) use_one(leases, lease);
  EXPECT_LE(lease.out, 2 * Leases::kLeast);
}

TEST(LeasesTest, OfWhatTheProgramHoldsComeBackWithIt) {
  Leases leases(2 * kWhole);
  Lease one;
  Lease other;
  ASSERT_TRUE(leases.open(one));
  ASSERT_TRUE(leases.open(other));
  leases.arrived(one);
  leases.arrived(one);
  EXPECT_EQ(leases.grantable(one), 0u);
  EXPECT_TRUE(leases.starved(one));
  leases.returned(one);
  EXPECT_EQ(leases.grantable(one), 1u);
  EXPECT_EQ(leases.grant(one), 1u);
  EXPECT_EQ(leases.free(), 0u);
}

TEST(LeasesTest, OfAConnectionThatEndedAreFreeButForWhatTheProgramHolds) {
  Leases leases(100);
  Lease gone;
  {
    Lease lease;
    ASSERT_TRUE(leases.open(lease));
    use_all(leases, lease);
    leases.arrived(lease);
    leases.arrived(lease);
    leases.close(lease);
    EXPECT_EQ(leases.free(), 98u);
    EXPECT_EQ(leases.grantable(lease), 0u);
    leases.returned(lease);
    leases.leave_to(lease, gone);
  }
  EXPECT_EQ(leases.free(), 99u);
  leases.returned(gone);
  EXPECT_EQ(leases.free(), 100u);
}

// Connections that come and go, peers that use credits, a program that holds and releases: at any
// time a receive is posted for each credit, each connection can get its least, and in the end all
// is free.
class Model {
 public:
  Model(uint32_t slots, unsigned seed) : slots_(slots), leases_(slots), random_(seed) {}

  void step() {
    switch (below(8)) {
      case 0:
        return come();
      case 1:
        return below(4) == 0 ? go() : void();
      case 2:
      case 3:
      case 4:
        return arrive();
      default:
        return below(3) == 0 ? release() : give();
    }
  }

  void check() const {
    uint32_t credits = 0;
    uint32_t held = gone_.held;
    for (const Lease& lease : open_) {
      credits += lease.out + wire::kControlSlots;
      held += lease.held;
      ASSERT_LE(lease.used(), std::max(leases_.most(), Leases::kLeast));
    }
    ASSERT_LE(held, slots_);
    ASSERT_GE(slots_ - held, credits) << "posted, and out";
    ASSERT_LE(leases_.free(), slots_);
  }

  // Whatever happened before: a program that releases gets each peer its least.
  void finish() {
    while (gone_.held > 0) leases_.returned(gone_);
    for (Lease& lease : open_) {
      while (lease.held > 0) leases_.returned(lease);
      leases_.grant(lease);
      ASSERT_GE(lease.out, Leases::kLeast);
    }
    while (!open_.empty()) go();
    ASSERT_EQ(leases_.free(), slots_);
  }

 private:
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  Lease* any() { return open_.empty() ? nullptr : &open_[below(uint32_t(open_.size()))]; }

  void come() {
    open_.emplace_back();
    if (!leases_.open(open_.back())) open_.pop_back();
  }
  void go() {
    if (open_.empty()) return;
    leases_.close(open_.back());
    leases_.leave_to(open_.back(), gone_);
    open_.pop_back();
  }
  void arrive() {
    Lease* lease = any();
    for (uint32_t n = below(8); lease != nullptr && n > 0 && lease->out > 0; --n) {
      leases_.arrived(*lease);
    }
  }
  void release() {
    if (below(4) == 0 && gone_.held > 0) return leases_.returned(gone_);
    Lease* lease = any();
    for (uint32_t n = below(8); lease != nullptr && n > 0 && lease->held > 0; --n) {
      leases_.returned(*lease);
    }
  }
  void give() {
    if (Lease* lease = any()) leases_.grant(*lease);
  }

  const uint32_t slots_;
  Leases leases_;
  std::mt19937 random_;
  std::deque<Lease> open_;
  Lease gone_;
};

TEST(LeasesTest, AreCoveredByWhatIsPostedWhateverHappens) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Model model(6 + seed * seed % 701, seed);
    for (int i = 0; i < 3000; ++i) {
      model.step();
      model.check();
      if (testing::Test::HasFatalFailure()) return;
    }
    model.finish();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace sio::internal
