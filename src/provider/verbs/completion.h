// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cerrno>

#include "provider/provider.h"

namespace sio::internal::provider::verbs {

// After a read of a device's descriptor that brought nothing, with errno 0 before: whether another
// may bring something.
inline bool more_may_come() noexcept { return errno == EAGAIN || errno == EINTR; }

class VerbsCompletionQueue final : public CompletionQueue {
 public:
  // can_resize: see quirks.h.
  VerbsCompletionQueue(ibv_context* context, ibv_comp_channel* channel, uint32_t entries,
                       bool can_resize);
  ~VerbsCompletionQueue() override;
  VerbsCompletionQueue(const VerbsCompletionQueue&) = delete;
  VerbsCompletionQueue& operator=(const VerbsCompletionQueue&) = delete;

  ibv_cq* get() const noexcept { return cq_; }
  uint32_t capacity() const noexcept override { return static_cast<uint32_t>(cq_->cqe); }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override;
  int resize(uint32_t entries) noexcept override;

  // Counts a notification; acknowledged in batches, since each acknowledgement takes a mutex,
  // and at the latest in the destructor, since ibv_destroy_cq waits for all of them.
  void notified() noexcept;

 private:
  ibv_cq* cq_;
  const bool can_resize_;
  unsigned unacknowledged_ = 0;
};

class VerbsCompletionChannel final : public CompletionChannel {
 public:
  VerbsCompletionChannel(ibv_context* context, bool can_resize);
  ~VerbsCompletionChannel() override;
  VerbsCompletionChannel(const VerbsCompletionChannel&) = delete;
  VerbsCompletionChannel& operator=(const VerbsCompletionChannel&) = delete;

  int fd() const noexcept override { return channel_->fd; }
  bool take_notifications(unsigned most) noexcept override;
  std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) override;

 private:
  ibv_context* context_;
  const bool can_resize_;  // its queues
  ibv_comp_channel* channel_;
};

}  // namespace sio::internal::provider::verbs
