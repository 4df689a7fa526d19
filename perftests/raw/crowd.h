// SPDX-License-Identifier: BSD-2-Clause
//
// A crowd (crowd/crowd.h) on bare verbs, done as well as is known: queue pairs and receives as the
// library has them, few completion queues, one event channel, receives posted again in chains.
#pragma once

#include <rdma/rdma_cma.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "crowd/crowd.h"
#include "process.h"
#include "raw/connection.h"
#include "raw/endpoint.h"
#include "raw/event_thread.h"
#include "raw/memory.h"

namespace sio_perf {

class RawCrowd {
 public:
  RawCrowd(const Parameters& parameters, ibv_context* context);
  RawCrowd(const RawCrowd&) = delete;
  RawCrowd& operator=(const RawCrowd&) = delete;
  ~RawCrowd();

  std::vector<uint16_t> listen(const Address& address);
  void connect(const std::string& host, const std::vector<uint16_t>& ports, uint32_t count,
               uint32_t at_once);

  uint32_t send(uint32_t member, const unsigned char* message, uint32_t length, uint32_t count);
  template <typename TakeMessage, typename TakeRoom>
  bool take(TakeMessage arrived, TakeRoom writable);
  void sleep(int timeout_ms);
  void wake();

  uint32_t most_in_flight() const { return parameters_.tx_depth; }
  Traffic traffic() const { return {messages_, messages_, 0}; }

 private:
  static constexpr int kBatch = 32;             // completions taken, or requests posted, at a time
  static constexpr uint32_t kSignalEvery = 16;  // sends of a queue pair

  struct Member {
    CmId id;       // with its queue pair, if has_pair
    int set = -1;  // epoll, of --like-sockets
    bool has_pair = false;
    bool blocked = false;
    uint32_t posted = 0, completed = 0;  // sends
    uint32_t received = 0;
  };

  void make_queues(const ibv_device_attr& device);
  void make_memory();
  void make_pair(Member& member, uint32_t number);
  void start_connect(const std::string& host, uint16_t port);
  Member& add_member(rdma_cm_id* id);
  bool take_connection_events(int timeout_ms);
  // While another thread takes them, of all that it touches.
  std::unique_lock<std::mutex> lock() {
    return thread_ ? thread_->lock() : std::unique_lock<std::mutex>();
  }
  void handle(rdma_cm_event& event);
  void accept(rdma_cm_id* id);
  void post_receives(uint32_t member, uint32_t first, uint32_t count);
  ibv_recv_wr* chain(uint32_t member, std::span<const uint32_t> slots);
  void give_back(uint32_t number, uint32_t slot);
  void post_shared();
  uint32_t member_of(const ibv_wc& completion) const;
  // `at`: among the receives of the queue that they are posted to.
  unsigned char* slot(uint32_t member, uint32_t at) {
    const size_t first = shared_ ? 0 : size_t{member} * recv_depth_;
    return memory_.get() + (first + at) * parameters_.slot_size;
  }
  void fail(const ibv_wc& completion) const;

  struct SharedDeleter {
    void operator()(ibv_srq* queue) const { ibv_destroy_srq(queue); }
  };

  const Parameters parameters_;
  ibv_context* const context_;
  const uint32_t recv_depth_;   // of a queue pair, or of all if they share
  const uint32_t queue_share_;  // entries of a completion queue that a queue pair may need
  uint32_t pairs_each_;         // queue pairs to a completion queue
  uint32_t max_sge_;
  uint32_t max_inline_ = 0;
  std::unique_ptr<ibv_pd, VerbsDeleter> pd_;
  std::unique_ptr<ibv_comp_channel, VerbsDeleter> completions_;
  std::vector<std::unique_ptr<ibv_cq, VerbsDeleter>> queues_;
  PageMemory memory_;
  std::unique_ptr<ibv_mr, VerbsDeleter> region_;
  std::unique_ptr<ibv_srq, SharedDeleter> shared_;
  std::vector<uint32_t> returned_;                  // shared slots to be posted again
  std::unordered_map<uint32_t, uint32_t> numbers_;  // of members by queue pair, if they share
  CmChannel channel_;
  CmId listener_;
  std::vector<Member> members_;
  size_t established_ = 0;
  uint64_t messages_ = 0;
  int wake_ = -1;  // eventfd
  bool armed_ = false;
  std::array<ibv_sge, kBatch> pieces_;
  std::array<ibv_recv_wr, kBatch> receives_;
  std::array<ibv_send_wr, kBatch> sends_;
  std::optional<EventThread> thread_;  // of --like-sockets
};

template <typename TakeMessage, typename TakeRoom>
bool RawCrowd::take(TakeMessage arrived, TakeRoom writable) {
  bool some = false;
  std::array<ibv_wc, kBatch> batch;
  const auto locked = lock();
  for (const auto& queue : queues_) {
    const int count = ibv_poll_cq(queue.get(), kBatch, batch.data());
    if (count < 0) throw Failure("ibv_poll_cq failed");
    some = some || count > 0;
    for (const ibv_wc& completion : std::span(batch).first(static_cast<size_t>(count))) {
      if (completion.status != IBV_WC_SUCCESS) {
        fail(completion);
        continue;
      }
      const uint32_t number = member_of(completion);
      if ((completion.opcode & IBV_WC_RECV) == 0) {
        Member& member = members_[number];
        member.completed += kSignalEvery;
        if (member.blocked) {
          member.blocked = false;
          writable(number);
        }
        continue;
      }
      const auto at = static_cast<uint32_t>(completion.wr_id);
      Arrived message{number, completion.byte_len, {}};
      std::copy_n(slot(number, at), message.head.size(), message.head.begin());
      give_back(number, at);
      arrived(message);
    }
    post_shared();
  }
  return some || (listener_ && !thread_ && take_connection_events(0));
}

}  // namespace sio_perf
