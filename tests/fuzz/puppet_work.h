// SPDX-License-Identifier: BSD-2-Clause
//
// What all queue pairs of the puppet have in common: requests that are posted stay until the fuzzer
// says how they end, in their order. None of the rules of verbs is broken, and that the library
// breaks none is checked: queues never overflow, memory is registered.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "provider/provider.h"

namespace sio::test {

class PuppetWork;

// An account besides: it has room for all that is posted and all that is not polled.
class PuppetQueue final : public internal::provider::CompletionQueue {
 public:
  PuppetQueue(void (*notify)(void*), void* channel, uint32_t entries);
  ~PuppetQueue() override;
  uint32_t capacity() const noexcept override { return capacity_; }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override;
  int resize(uint32_t entries) noexcept override;

  struct Completion {
    ibv_wc wc;
    PuppetWork* of;  // NULL: it has gone
    bool receive;
    uint32_t frees;  // entries
  };
  void push(const Completion& completion, bool solicited);
  void forget(const PuppetWork& gone);
  // Entries that posted requests may need.
  void use(uint32_t n);
  void unuse(uint32_t n) { used_ -= n; }

 private:
  void (*const notify_)(void*);
  void* const channel_;
  uint32_t capacity_;
  std::deque<Completion> completions_;
  uint32_t used_ = 0;
  bool armed_ = false;
  bool solicited_only_ = false;
};

// Receives that are posted, of one queue pair or for several. What they receive into is the
// device's: whoever looks there is found out.
class PuppetReceives {
 public:
  struct Receive {
    uint64_t wr_id;
    ibv_sge sge;
    char* at() const { return reinterpret_cast<char*>(sge.addr); }
  };

  explicit PuppetReceives(uint32_t capacity) : capacity_(capacity) {}
  ~PuppetReceives();
  PuppetReceives(const PuppetReceives&) = delete;
  PuppetReceives& operator=(const PuppetReceives&) = delete;

  void post(const ibv_recv_wr& wr);
  bool empty() const { return posted_.empty(); }
  size_t size() const { return posted_.size(); }
  const Receive& first() const { return posted_.front(); }
  // That many bytes of it are the library's again.
  Receive take(size_t bytes);

 private:
  const uint32_t capacity_;
  std::deque<Receive> posted_;
  std::map<char*, size_t> places_;  // every one that was ever posted
};

void check_memory(const ibv_sge& sge);

class PuppetWork {
 public:
  // `shared`: where its receives are, or NULL.
  PuppetWork(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
             PuppetReceives* shared);
  virtual ~PuppetWork();
  PuppetWork(const PuppetWork&) = delete;
  PuppetWork& operator=(const PuppetWork&) = delete;

  uint32_t pair_number() const { return number_; }
  bool failed() const { return failed_; }
  bool has_receive() const { return !failed_ && !receives_->empty(); }
  bool has_send() const { return !failed_ && !sends_.empty(); }
  size_t receives() const { return receives_->size(); }
  uint32_t sends_under_way() const { return sends_to_reap_; }
  uint32_t receive_length() const { return receives_->first().sge.length; }

  // A SEND of the peer's lands in the oldest receive, which must be there and long enough.
  struct Frame {
    ibv_wc_opcode opcode = IBV_WC_RECV;
    unsigned flags = IBV_WC_WITH_IMM;
    bool solicited = true;
    uint32_t imm_data = 0;
    uint32_t source = 0;  // queue pair
    std::string payload;
  };
  void receive(const Frame& frame);
  // The oldest receive or send fails, and with it the queue pair.
  void fail_receive(ibv_wc_status status);
  void fail_send(ibv_wc_status status);
  // The peer's device has taken the n oldest sends.
  void complete_sends(unsigned n);
  void go_wrong();
  // What was posted to a queue pair that failed comes back: at once, unless puppet().flush_late.
  // Whether there was something.
  bool flush();

  // A completion of this queue pair was polled.
  void polled(const PuppetQueue::Completion& completion);

 protected:
  void post_sends(const ibv_send_wr* chain);
  void post_receives(const ibv_recv_wr* chain);
  const internal::provider::QueueSizes& sizes() const { return sizes_; }
  static uint32_t inline_limit();

 private:
  struct Send {
    uint64_t wr_id;
    ibv_wr_opcode opcode;
    bool signalled;
  };

  // The library has posted these to a queue pair that goes, and the latter comes to the library.
  virtual void sent(const ibv_send_wr& wr, const std::string& payload) = 0;
  // Or to one that has failed.
  virtual void sent_in_vain(const ibv_send_wr&) {}
  virtual void send_ended() {}
  virtual void posted(const ibv_recv_wr&) {}  // it may have failed
  virtual void came(const Frame& frame, char* at) = 0;
  virtual void came_up(const ibv_wc&) {}

  void check_send(const ibv_send_wr& wr);
  void finish_send(ibv_wc_status status);
  void finish_receive(ibv_wc wc, size_t bytes, bool solicited);

  PuppetQueue& queue_;
  const internal::provider::QueueSizes sizes_;
  const uint32_t number_;
  PuppetReceives own_;
  PuppetReceives* const receives_;
  std::deque<Send> sends_;
  uint32_t sends_to_reap_ = 0;  // not covered by a completion that was polled
  uint32_t completed_ = 0;      // sends since the last that was signalled
  uint32_t receives_used_ = 0;  // own ones that are posted, and their completion not polled
  bool failed_ = false;
};

// The part of the seam that is the same for each of them.
template <typename Seam>
class PuppetPairOf : public Seam, public PuppetWork {
 public:
  using PuppetWork::PuppetWork;
  uint32_t number() const noexcept override { return pair_number(); }
  uint32_t peer_number() const noexcept override { return pair_number() + 1; }
  uint32_t max_inline() const noexcept override { return inline_limit(); }
  uint32_t max_send_sge() const noexcept override { return sizes().send_sge; }
  int post_send(ibv_send_wr* chain, ibv_send_wr**) noexcept override {
    return post_sends(chain), 0;
  }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr**) noexcept override {
    return post_receives(chain), 0;
  }
  void fail() noexcept override { go_wrong(); }
};

}  // namespace sio::test
