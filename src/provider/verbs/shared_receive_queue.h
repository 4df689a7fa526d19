// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "provider/provider.h"

namespace sio::internal::provider::verbs {

class VerbsSharedReceiveQueue final : public SharedReceiveQueue {
 public:
  VerbsSharedReceiveQueue(ibv_pd* pd, uint32_t receives) {
    ibv_srq_init_attr attributes{};
    attributes.attr.max_wr = receives;
    attributes.attr.max_sge = 1;
    srq_ = ibv_create_srq(pd, &attributes);
    if (srq_ == nullptr) throw_last_errno("ibv_create_srq");
    capacity_ = attributes.attr.max_wr;
  }
  ~VerbsSharedReceiveQueue() override {
    if (const int error = ibv_destroy_srq(srq_))
      LOG_ERROR("ibv_destroy_srq: %s", errno_text(error));
  }
  VerbsSharedReceiveQueue(const VerbsSharedReceiveQueue&) = delete;
  VerbsSharedReceiveQueue& operator=(const VerbsSharedReceiveQueue&) = delete;

  uint32_t capacity() const noexcept override { return capacity_; }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override {
    return -std::abs(ibv_post_srq_recv(srq_, chain, bad));
  }
  ibv_srq* get() const noexcept { return srq_; }

 private:
  ibv_srq* srq_;
  uint32_t capacity_;
};

}  // namespace sio::internal::provider::verbs
