// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/completion.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "base/log.h"

namespace sio::internal::provider::verbs {
namespace {

constexpr unsigned kAcknowledgeBatch = 64;

}  // namespace

VerbsCompletionQueue::VerbsCompletionQueue(ibv_context* context, ibv_comp_channel* channel,
                                           uint32_t entries, bool can_resize)
    : cq_(ibv_create_cq(context, static_cast<int>(entries), this, channel, 0)),
      can_resize_(can_resize) {
  if (cq_ == nullptr) throw_last_errno("ibv_create_cq");
  poll_directly_by(cq_->context->ops.poll_cq, cq_);
}

VerbsCompletionQueue::~VerbsCompletionQueue() {
  if (unacknowledged_ > 0) ibv_ack_cq_events(cq_, unacknowledged_);
  if (const int error = ibv_destroy_cq(cq_)) LOG_ERROR("ibv_destroy_cq: %s", errno_text(error));
}

int VerbsCompletionQueue::poll(int n, ibv_wc* wc) noexcept {
  const int polled = ibv_poll_cq(cq_, n, wc);
  return polled >= 0 ? polled : -EIO;
}

int VerbsCompletionQueue::arm(bool solicited_only) noexcept {
  return -ibv_req_notify_cq(cq_, solicited_only ? 1 : 0);
}

int VerbsCompletionQueue::resize(uint32_t entries) noexcept {
  if (!can_resize_) return -EOPNOTSUPP;
  // librxe gives up the old memory before it asks for the new, and is left with none if there is
  // no address space for it.
  constexpr size_t kEntryBytes = 128;  // rxe_queue_init of Linux: an ib_wc, to a power of two
  const size_t bytes = kEntryBytes * (std::bit_ceil(size_t{entries} + 1) + 1);
  void* const room = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return -errno;
  munmap(room, bytes);
  return -std::abs(ibv_resize_cq(cq_, static_cast<int>(entries)));
}

void VerbsCompletionQueue::notified() noexcept {
  if (++unacknowledged_ == kAcknowledgeBatch) {
    ibv_ack_cq_events(cq_, unacknowledged_);
    unacknowledged_ = 0;
  }
}

VerbsCompletionChannel::VerbsCompletionChannel(ibv_context* context, bool can_resize)
    : context_(context), can_resize_(can_resize), channel_(ibv_create_comp_channel(context)) {
  if (channel_ == nullptr) throw_last_errno("ibv_create_comp_channel");
  const int flags = fcntl(channel_->fd, F_GETFL);
  fcntl(channel_->fd, F_SETFL, flags | O_NONBLOCK);
}

VerbsCompletionChannel::~VerbsCompletionChannel() { ibv_destroy_comp_channel(channel_); }

bool VerbsCompletionChannel::take_notifications(unsigned most) noexcept {
  for (; most > 0; --most) {
    ibv_cq* cq;
    void* context;
    errno = 0;
    if (ibv_get_cq_event(channel_, &cq, &context) != 0) return more_may_come();
    static_cast<VerbsCompletionQueue*>(context)->notified();
  }
  return true;
}

std::unique_ptr<CompletionQueue> VerbsCompletionChannel::create_queue(uint32_t entries) {
  return std::make_unique<VerbsCompletionQueue>(context_, channel_, entries, can_resize_);
}

}  // namespace sio::internal::provider::verbs
