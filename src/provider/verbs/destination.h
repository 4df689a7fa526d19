// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <rdma/rdma_cma.h>

#include "base/error.h"
#include "provider/provider.h"

namespace sio::internal::provider::verbs {

class VerbsDestination final : public Destination {
 public:
  // As the connection manager has found it.
  VerbsDestination(ibv_pd* pd, rdma_ud_param param)
      : handle_(ibv_create_ah(pd, &param.ah_attr)),
        number_(param.qp_num),
        key_(param.qkey),
        gid_(param.ah_attr.grh.dgid),
        lid_(param.ah_attr.dlid) {
    if (handle_ == nullptr) throw_last_errno("ibv_create_ah");
  }
  // Of who sent what was received. All that rdma_cm makes for datagrams has one key.
  VerbsDestination(ibv_pd* pd, ibv_wc wc, ibv_grh grh, uint8_t port)
      : handle_(ibv_create_ah_from_wc(pd, &wc, &grh, port)),
        number_(wc.src_qp),
        key_(RDMA_UDP_QKEY) {
    if (handle_ == nullptr) throw_last_errno("ibv_create_ah_from_wc");
  }
  ~VerbsDestination() override { ibv_destroy_ah(handle_); }
  VerbsDestination(const VerbsDestination&) = delete;
  VerbsDestination& operator=(const VerbsDestination&) = delete;

  ibv_ah* handle() const noexcept override { return handle_; }
  uint32_t queue_pair() const noexcept override { return number_; }
  uint32_t key() const noexcept override { return key_; }
  // Of a group.
  const ibv_gid& gid() const noexcept { return gid_; }
  uint16_t lid() const noexcept { return lid_; }

 private:
  ibv_ah* handle_;
  uint32_t number_;
  uint32_t key_;
  ibv_gid gid_{};
  uint16_t lid_ = 0;
};

}  // namespace sio::internal::provider::verbs
