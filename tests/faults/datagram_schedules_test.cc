// SPDX-License-Identifier: BSD-2-Clause
//
// Datagram sockets of one process send to each other and to groups, and things go wrong as a seed
// says (fault_plan.h): addresses are not found, or late, or never; groups can not be joined; queue
// pairs fail and are replaced. Datagrams may be lost, but what comes is what was sent, once and in
// order from each sender; each lent buffer and each request has exactly one outcome; the counts add
// up; who is left can be reached when all that is over; and nothing is left.
#include <gtest/gtest.h>
#include <sio/sio.h>

#include <memory>
#include <vector>

#include "conformance/support.h"
#include "faults/schedule.h"
#include "faults/station.h"

namespace sio::test {
namespace {

Faults faults_of_datagrams(Random& random) {
  Faults faults = faults_of(random);
  faults.drop = 0;  // there is nothing to be cut
  faults.status = rate(random, 60);
  faults.attach = rate(random, 3);
  faults.not_found = rate(random, 5);
  faults.no_answer = rate(random, 10);
  faults.late_answer = rate(random, 2);
  return faults;
}

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed), seed_(seed) {}

  void run() {
    plan().begin(seed_, faults_of_datagrams(random_));
    for (int i = 0; i < 2; ++i)
      homes_.push_back(std::make_unique<Home>(random_, seed_, any_way(random_), false));
    if (homes_[0]->stands() && homes_[1]->stands()) {
      const size_t stations = 2 + random_() % 4;
      while (network_.stations.size() < stations) {
        Home& home = *homes_[random_() % 2];
        network_.stations.push_back(std::make_unique<Station>(home, network_, random_() % 2 == 0));
      }
      const uint64_t steps = 50 + random_() % 800;
      for (uint64_t i = 0; i < steps; ++i) any().step();
      plan().end();
      reach_who_is_left();
      for (const auto& one : network_.stations) one->check_counts();
      for (const auto& one : homes_) one->check_accounts();
    }
    plan().end();
    std::vector<Home*> homes;
    for (const auto& one : homes_) homes.push_back(one.get());
    std::vector<Guest*> guests;
    for (const auto& one : network_.stations) guests.push_back(one.get());
    end_all(homes, guests);
  }

 private:
  Station& any() { return *network_.stations[random_() % network_.stations.size()]; }

  // By a newcomer: those that knew them may believe for some seconds that they are where they were.
  void reach_who_is_left() {
    homes_.push_back(std::make_unique<Home>(random_, seed_, any_way(random_), false));
    network_.stations.push_back(std::make_unique<Station>(*homes_.back(), network_, false));
    Station& newcomer = *network_.stations.back();
    EXPECT_NE(newcomer.port(), 0) << homes_.back()->trace();
    for (uint32_t i = 0; i + 1 < network_.stations.size(); ++i) {
      Station& one = *network_.stations[i];
      one.take();
      if (one.over() || one.port() == 0) continue;
      one.dissolve();
      const uint64_t before = one.received();
      EXPECT_TRUE(eventually([&] {
        newcomer.take();
        newcomer.send_to(i);
        one.take();
        one.release_all();
        return one.received() > before || one.over();
      })) << "nothing comes any more"
          << homes_.back()->trace();
    }
  }

  Random random_;
  const uint64_t seed_;
  std::vector<std::unique_ptr<Home>> homes_;
  Network network_;
};

TEST(FaultsOfDatagrams, LeaveNothingBehind) {
  run_schedules(300, [](uint64_t seed) { Schedule(seed).run(); });
}

}  // namespace
}  // namespace sio::test
