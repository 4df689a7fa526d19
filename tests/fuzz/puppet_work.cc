// SPDX-License-Identifier: BSD-2-Clause
#include "puppet_work.h"

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "must.h"
#include "puppet_provider.h"

namespace sio::test {

// ---------------------------------------------------------------------------------- completions

PuppetQueue::PuppetQueue(void (*notify)(void*), void* channel, uint32_t entries)
    : notify_(notify), channel_(channel), capacity_(entries) {
  ++puppet().queues;
}

PuppetQueue::~PuppetQueue() {
  MUST(used_ == 0);
  --puppet().queues;
}

int PuppetQueue::arm(bool solicited_only) noexcept {
  if (!armed_ || !solicited_only) solicited_only_ = solicited_only;
  armed_ = true;
  return 0;
}

int PuppetQueue::resize(uint32_t entries) noexcept {
  MUST(entries >= capacity_);
  capacity_ = entries;
  return 0;
}

void PuppetQueue::push(const Completion& completion, bool solicited) {
  completions_.push_back(completion);
  if (!armed_ || (solicited_only_ && !solicited)) return;
  armed_ = false;
  notify_(channel_);
}

int PuppetQueue::poll(int n, ibv_wc* wc) noexcept {
  int taken = 0;
  for (; taken < n && !completions_.empty(); ++taken) {
    const Completion first = completions_.front();
    completions_.pop_front();
    wc[taken] = first.wc;
    unuse(first.frees);
    if (first.of != nullptr) first.of->polled(first);
  }
  return taken;
}

// The library gives up the entries of a queue pair with it.
void PuppetQueue::forget(const PuppetWork& gone) {
  for (Completion& one : completions_) {
    if (one.of != &gone) continue;
    one.of = nullptr;
    unuse(std::exchange(one.frees, 0));
  }
}

void PuppetQueue::use(uint32_t n) { MUST((used_ += n) <= capacity_); }

// ------------------------------------------------------------------------------------- receives

PuppetReceives::~PuppetReceives() {
  for (const auto& [at, size] : places_) ASAN_UNPOISON_MEMORY_REGION(at, size);
}

void PuppetReceives::post(const ibv_recv_wr& wr) {
  MUST(wr.num_sge == 1);
  const ibv_sge& sge = wr.sg_list[0];
  check_memory(sge);
  MUST(posted_.size() < capacity_);
  for (const Receive& other : posted_) MUST(other.sge.addr != sge.addr);
  posted_.push_back({wr.wr_id, sge});
  char* const at = posted_.back().at();
  places_[at] = std::max<size_t>(places_[at], sge.length);
  ASAN_POISON_MEMORY_REGION(at, sge.length);
}

PuppetReceives::Receive PuppetReceives::take(size_t bytes) {
  const Receive first = posted_.front();
  posted_.pop_front();
  ASAN_UNPOISON_MEMORY_REGION(first.at(), bytes);
  return first;
}

// ---------------------------------------------------------------------------------- queue pairs

namespace {

// Of 24 bits, and not 0 or 1.
uint32_t next_number() {
  static uint32_t last = 0;
  last = last + 2 & 0xfffffe;
  return last == 0 ? last = 2 : last;
}

}  // namespace

PuppetWork::PuppetWork(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
                       PuppetReceives* shared)
    : queue_(queue),
      sizes_(sizes),
      number_(next_number()),
      own_(sizes.recv_wr),
      receives_(shared != nullptr ? shared : &own_) {
  puppet().works.push_back(this);
}

PuppetWork::~PuppetWork() {
  std::erase(puppet().works, this);
  queue_.forget(*this);
  queue_.unuse(static_cast<uint32_t>(sends_.size() + own_.size()) + completed_);
}

uint32_t PuppetWork::inline_limit() { return puppet().max_inline; }

void PuppetWork::post_sends(const ibv_send_wr* chain) {
  for (const ibv_send_wr* wr = chain; wr != nullptr; wr = wr->next) {
    MUST(++sends_to_reap_ <= sizes_.send_wr);
    queue_.use(1);
    failed_ ? sent_in_vain(*wr) : check_send(*wr);
    sends_.push_back({wr->wr_id, wr->opcode, (wr->send_flags & IBV_SEND_SIGNALED) != 0});
  }
  if (failed_ && !puppet().flush_late) flush();
}

void PuppetWork::check_send(const ibv_send_wr& wr) {
  MUST(wr.num_sge >= 0 && static_cast<uint32_t>(wr.num_sge) <= sizes_.send_sge);
  const bool inlined = (wr.send_flags & IBV_SEND_INLINE) != 0;
  std::string payload;
  for (int i = 0; i < wr.num_sge; ++i) {
    const ibv_sge& sge = wr.sg_list[i];
    if (!inlined) check_memory(sge);
    payload.append(reinterpret_cast<const char*>(sge.addr), sge.length);
  }
  MUST(!inlined || payload.size() <= puppet().max_inline);
  sent(wr, payload);
}

void PuppetWork::post_receives(const ibv_recv_wr* chain) {
  MUST(receives_ == &own_);
  for (const ibv_recv_wr* wr = chain; wr != nullptr; wr = wr->next) {
    MUST(++receives_used_ <= sizes_.recv_wr);
    queue_.use(1);
    own_.post(*wr);
    posted(*wr);
  }
  if (failed_ && !puppet().flush_late) flush();
}

void PuppetWork::go_wrong() {
  failed_ = true;
  if (!puppet().flush_late) flush();
}

bool PuppetWork::flush() {
  if (!failed_ || (own_.empty() && sends_.empty())) return false;
  while (!own_.empty()) fail_receive(IBV_WC_WR_FLUSH_ERR);
  while (!sends_.empty()) fail_send(IBV_WC_WR_FLUSH_ERR);
  return true;
}

void PuppetWork::receive(const Frame& frame) {
  char* const at = receives_->first().at();
  const size_t length = frame.payload.size();
  ASAN_UNPOISON_MEMORY_REGION(at, length);
  std::memcpy(at, frame.payload.data(), length);
  came(frame, at);
  ibv_wc wc{};
  wc.status = IBV_WC_SUCCESS;
  wc.opcode = frame.opcode;
  wc.byte_len = static_cast<uint32_t>(length);
  wc.imm_data = frame.imm_data;
  wc.wc_flags = frame.flags;
  wc.src_qp = frame.source;
  finish_receive(wc, length, frame.solicited);
}

void PuppetWork::fail_receive(ibv_wc_status status) {
  ibv_wc wc{};
  std::memset(&wc, 0xa5, sizeof wc);  // of a failure only these mean something
  wc.status = status;
  wc.vendor_err = 7;
  finish_receive(wc, receive_length(), true);
  if (!failed_) go_wrong();
}

// Shared ones come upon the queue unannounced.
void PuppetWork::finish_receive(ibv_wc wc, size_t bytes, bool solicited) {
  wc.wr_id = receives_->take(bytes).wr_id;
  wc.qp_num = number_;
  if (receives_ != &own_) queue_.use(1);
  queue_.push({wc, this, true, 1}, solicited);
}

void PuppetWork::complete_sends(unsigned n) {
  while (!failed_ && n-- > 0 && !sends_.empty()) finish_send(IBV_WC_SUCCESS);
}

void PuppetWork::fail_send(ibv_wc_status status) {
  finish_send(status);
  if (!failed_) go_wrong();
}

void PuppetWork::finish_send(ibv_wc_status status) {
  const Send send = sends_.front();
  sends_.pop_front();
  send_ended();
  ++completed_;
  if (status == IBV_WC_SUCCESS && !send.signalled) return;
  ibv_wc wc{};
  if (status != IBV_WC_SUCCESS) std::memset(&wc, 0xa5, sizeof wc);
  wc.wr_id = send.wr_id;
  wc.qp_num = number_;
  wc.status = status;
  if (status == IBV_WC_SUCCESS) {
    wc.opcode = send.opcode == IBV_WR_RDMA_WRITE ? IBV_WC_RDMA_WRITE : IBV_WC_SEND;
  }
  queue_.push({wc, this, false, std::exchange(completed_, 0)}, false);
}

void PuppetWork::polled(const PuppetQueue::Completion& completion) {
  if (!completion.receive) {
    sends_to_reap_ -= completion.frees;
    return;
  }
  if (receives_ == &own_) --receives_used_;
  if (completion.wc.status == IBV_WC_SUCCESS) came_up(completion.wc);
}

}  // namespace sio::test
