// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/device.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/completion.h"
#include "provider/verbs/quirks.h"
#include "provider/verbs/shared_receive_queue.h"

namespace sio::internal::provider::verbs {
namespace {

class VerbsMemoryRegion final : public MemoryRegion {
 public:
  explicit VerbsMemoryRegion(ibv_mr* mr) noexcept : mr_(mr) {}
  ~VerbsMemoryRegion() override {
    if (const int error = ibv_dereg_mr(mr_)) LOG_ERROR("ibv_dereg_mr: %s", errno_text(error));
  }
  VerbsMemoryRegion(const VerbsMemoryRegion&) = delete;
  VerbsMemoryRegion& operator=(const VerbsMemoryRegion&) = delete;
  uint32_t lkey() const noexcept override { return mr_->lkey; }

 private:
  ibv_mr* mr_;
};

// Registration pins memory, and the pinned bytes count against RLIMIT_MEMLOCK: the one failure
// of all users of RDMA that deserves an answer.
void explain_failed_registration(size_t size, int error) noexcept {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if ((error == ENOMEM || error == EPERM || error == EAGAIN) && limit.rlim_cur != RLIM_INFINITY) {
    LOG_ERROR(
        "cannot register %zu KiB: the limit for locked memory is %llu KiB for all areas of the "
        "process. Raise it: `ulimit -l unlimited`, \"* - memlock unlimited\" in "
        "/etc/security/limits.conf, LimitMEMLOCK=infinity in a systemd unit, or --ulimit "
        "memlock=-1 for a container",
        size / 1024, static_cast<unsigned long long>(limit.rlim_cur / 1024));
  } else {
    LOG_ERROR("cannot register %zu KiB: %s", size / 1024, errno_text(error));
  }
}

}  // namespace

VerbsDevice::VerbsDevice(ibv_context* context, unsigned index)
    : context_(context),
      index_(index),
      name_(ibv_get_device_name(context->device)),
      pd_(ibv_alloc_pd(context)) {
  if (pd_ == nullptr) throw_last_errno("ibv_alloc_pd");
  ibv_device_attr attributes{};
  if (const int error = ibv_query_device(context, &attributes)) {
    ibv_dealloc_pd(pd_);
    throw_errno(error, "ibv_query_device");
  }
  limits_.max_cq_entries = static_cast<uint32_t>(attributes.max_cqe);
  limits_.max_qp_wr = static_cast<uint32_t>(attributes.max_qp_wr);
  limits_.max_sge = static_cast<uint32_t>(attributes.max_sge);
  utsname kernel{};
  uname(&kernel);
  resizes_queues_ = can_resize_queues(attributes.vendor_id, kernel.release);
}

VerbsDevice::~VerbsDevice() { ibv_dealloc_pd(pd_); }

// When another device has come, librdmacm may take those that it knows for new ones too, and open
// them once more (in rdma-core before 52 its dev_cmp sorts them wrongly). The kernel's number tells
// a device from one of the same name that comes when it has gone.
bool VerbsDevice::has(const ibv_context* context) const noexcept {
  if (context == context_) return true;
  const int number = ibv_get_device_index(context_->device);
  return number >= 0 && number == ibv_get_device_index(context->device);
}

std::unique_ptr<MemoryRegion> VerbsDevice::register_memory(void* base, size_t size, bool writable) {
  // Local access only: no key that leaves the process could ever open it to a peer.
  ibv_mr* mr = ibv_reg_mr(pd_, base, size, writable ? IBV_ACCESS_LOCAL_WRITE : 0);
  if (mr == nullptr) {
    const int error = errno;
    explain_failed_registration(size, error);
    throw_errno(error == EPERM || error == EAGAIN ? ENOMEM : error, "ibv_reg_mr");
  }
  return std::make_unique<VerbsMemoryRegion>(mr);
}

std::unique_ptr<CompletionChannel> VerbsDevice::create_completion_channel() {
  return std::make_unique<VerbsCompletionChannel>(context_, resizes_queues_);
}

std::unique_ptr<SharedReceiveQueue> VerbsDevice::create_shared_receive_queue(uint32_t receives) {
  return std::make_unique<VerbsSharedReceiveQueue>(pd_, receives);
}

bool VerbsDevice::has_active_port() const noexcept {
  ibv_device_attr attributes{};
  if (ibv_query_device(context_, &attributes) != 0) return false;
  for (uint8_t port = 1; port <= attributes.phys_port_cnt; ++port) {
    ibv_port_attr state{};
    if (ibv_query_port(context_, port, &state) == 0 && state.state == IBV_PORT_ACTIVE) return true;
  }
  return false;
}

}  // namespace sio::internal::provider::verbs
