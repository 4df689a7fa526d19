// SPDX-License-Identifier: BSD-2-Clause
#include "provider/status.h"

#include <cerrno>

namespace sio::internal::provider {

int errno_of(ibv_wc_status status, bool receive) noexcept {
  switch (status) {
    case IBV_WC_SUCCESS:
      return 0;
    case IBV_WC_RETRY_EXC_ERR:  // no acknowledgement after all retries
    case IBV_WC_RESP_TIMEOUT_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:  // the peer had no receive posted for too long
      return ETIMEDOUT;
    case IBV_WC_LOC_LEN_ERR:      // the peer sent more than a slot
    case IBV_WC_REM_INV_REQ_ERR:  // the peer's device did not like our message
      return EPROTO;
    case IBV_WC_REM_ACCESS_ERR:
    case IBV_WC_REM_OP_ERR:
    case IBV_WC_REM_ABORT_ERR:
    case IBV_WC_WR_FLUSH_ERR:  // a consequence; the cause was elsewhere
      return ECONNRESET;
    case IBV_WC_LOC_QP_OP_ERR:  // soft-RoCE: the peer sent more than a slot
      return receive ? EPROTO : EIO;
    default:
      return EIO;
  }
}

const char* status_name(ibv_wc_status status) noexcept { return ibv_wc_status_str(status); }

}  // namespace sio::internal::provider
