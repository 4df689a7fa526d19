// SPDX-License-Identifier: BSD-2-Clause
//
// Which memory a socket receives into and sends from.
#include <sio/dma.h>

#include "base/error.h"
#include "base/log.h"
#include "memory/registration.h"
#include "socket/channel_memory.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

constexpr size_t kMostSendAreas = 8;

}  // namespace

int Socket::associate(Area& area, size_t size, unsigned flags) {
  const Unopened unopened(*this);
  if (phase_ != Phase::kFresh) return -EISCONN;
  const bool both = (flags & (DMA_SEND | DMA_RECV)) == 0;
  const bool receive = both || (flags & DMA_RECV) != 0;
  const bool send = both || (flags & DMA_SEND) != 0;
  if ((!receive || is_datagram()) && (flags & DMA_SHARED) != 0) return -EINVAL;
  if (receive && !area.writable()) return -EACCES;
  if (receive && receive_area_ != nullptr) return -EBUSY;
  if (send && send_areas_.size() >= kMostSendAreas) return -EBUSY;
  send_areas_.reserve(kMostSendAreas + 1);
  associated_.push_back({&area, receive, send});
  if (!area.associate()) {
    associated_.pop_back();
    return -EINVAL;
  }
  if (receive) {
    const uint32_t slots = is_datagram() ? datagram_slots_in(size) : options_.slots_in(size);
    try {
      if (slots == 0) throw_errno(-too_small_to_receive(size), "receive memory");
      if (size > area.size()) {
        LOG_INFO("dma_assoc: %zu bytes are more than the area has, which is %zu", size,
                 area.size());
        throw_errno(EINVAL, "receive memory");
      }
      if ((flags & DMA_SHARED) == 0) {
        take_receive_memory(area, size);
      } else if (!channel()->hidden()) {
        share_receive_memory(area, size, nullptr);
      }
    } catch (...) {
      associated_.pop_back();
      area.dissociate();
      throw;
    }
    receive_area_ = &area;
    receive_size_ = size;
    shares_ = (flags & DMA_SHARED) != 0;
  }
  if (send) send_areas_.add(area);
  return 0;
}

int Socket::dissociate(Area& area, size_t size) noexcept {
  const Unopened unopened(*this);
  if (phase_ != Phase::kFresh && phase_ != Phase::kEnded) return -EBUSY;
  // The one for sending alone may have been given any size.
  const bool receive = &area == receive_area_ && size == receive_size_;
  const auto found = std::find_if(
      associated_.begin(), associated_.end(),
      [&](const Association& one) { return one.area == &area && one.receive == receive; });
  if (found == associated_.end()) return -EINVAL;
  if (receive) {
    give_up_region();
    receive_area_ = nullptr;
    receive_size_ = 0;
    shares_ = false;
  }
  if (found->send) send_areas_.remove(area);
  associated_.erase(found);
  area.dissociate();
  return 0;
}

// Slots, and what is left for messages larger than these. Throws.
void Socket::take_receive_memory(Area& area, size_t bytes) {
  if (is_datagram()) return take_datagram_memory(area, bytes);
  const uint32_t slots = options_.slots_in(bytes) + wire::kControlSlots;
  const size_t in_slots = size_t{slots} * options_.slot_size;
  region_ = Region::create(area, in_slots, options_.slot_size, slots);
  // No message would go there.
  if (is_stream() || bytes - in_slots < options_.slot_size + kLine) return;
  try {
    pool_ = std::make_unique<BulkPool>(area, bytes - in_slots);
    pool_->set_on_freed(note_returned, this);
  } catch (...) {
    give_up_region();
    throw;
  }
}

void Socket::give_up_region() noexcept {
  if (region_ != nullptr) region_->detach();
  region_ = nullptr;
  // What is in the pool may not have been taken yet.
  if (lane_ != nullptr) return;
  pool_.reset();
  shared_.reset();
}

// With whoever is in the channel and has the same association. A socket that is in no channel finds
// nobody, so it waits until it connects: it may be in one by then. Throws.
void Socket::share_receive_memory(Area& area, size_t bytes, provider::Device* device) {
  const SharedReceives::Geometry geometry{&area, bytes, options_.slot_size,
                                          options_.slots_in(bytes) + wire::kControlSlots};
  // What it has may be of other options, or of another device.
  if (shared_ != nullptr && shared_->geometry() == geometry && shared_->serves(device)) return;
  shared_.reset();
  shared_ = ChannelMemory::of(*channel()).share(geometry, device);
}

// That we take.
uint64_t Socket::largest_message() const noexcept {
  if (is_stream()) return wire::kMaxMessage;
  const uint32_t slot = link_.info.slot_size != 0 ? link_.info.slot_size : options_.slot_size;
  return pool() != nullptr ? std::min<uint64_t>(pool()->size(), wire::kMaxMessage) : slot;
}

// Before the queue pair is made: the memory that its receives are cut from. A socket without an
// association gets an area of its own.
void Socket::prepare_receive_memory(provider::Device& device) {
  if (receive_area_ == nullptr) {
    register_areas_with_provider();
    const size_t wanted = std::max<size_t>(options_.receive_bytes(), settings().default_area);
    own_area_ = Area::create(wanted);
    own_area_->associate();
    receive_area_ = own_area_;
    send_areas_.add(*own_area_);
  }
  const size_t bytes = receive_size_ != 0 ? receive_size_ : options_.receive_bytes();
  const uint32_t slots = options_.slots_in(bytes);
  if (slots == 0) throw_errno(-too_small_to_receive(bytes), "receive memory");
  if (shares_) {
    share_receive_memory(*receive_area_, bytes, &device);
    return shared_->open(device);
  }
  // The options may have changed since dma_assoc.
  if (region_ != nullptr && (region_->slot_size() != options_.slot_size ||
                             region_->slots() != slots + wire::kControlSlots)) {
    give_up_region();
  }
  if (region_ == nullptr) take_receive_memory(*receive_area_, bytes);
}

// The end of the socket. Received messages that the program holds keep their region, and the
// region keeps the area, until they are released.
void Socket::release_memory() noexcept {
  give_up_region();
  for (const Association& one : associated_) one.area->dissociate();
  associated_.clear();
  send_areas_.clear();
  give_up_own_area();
  receive_area_ = nullptr;
}

// First unwanted, then let go: in between the program could free it and get another in its place.
void Socket::give_up_own_area() noexcept {
  if (own_area_ == nullptr) return;
  own_area_->destroy_when_free();
  own_area_->dissociate();
  own_area_ = nullptr;
}

int Socket::too_large_to_copy(size_t size) const noexcept {
  LOG_DEBUG("sio_send: %zu bytes that lie in no associated area; SIO_COPY_MAX is %u", size,
            options_.copy_max);
  return -EFAULT;
}

int Socket::too_large_for_peer(size_t size) const noexcept {
  if (knows_peer()) {  // else there is only what no message may exceed
    LOG_DEBUG("sio_send: %zu bytes; the peer takes %llu, by the size of its dma_assoc", size,
              static_cast<unsigned long long>(peer_.max_message));
  }
  return -EMSGSIZE;
}

int Socket::too_small_to_receive(size_t size) const noexcept {
  if (is_datagram()) {
    LOG_INFO("%zu bytes of receive memory are less than 2 slots of %zu", size,
             size_t{DatagramReceiver::kSlotBytes});
  } else {
    LOG_INFO(
        "%zu bytes of receive memory are less than 2 slots and the 4 of the control frames take, "
        "of %u bytes each: %zu",
        size, options_.slot_size,
        size_t{wire::kMinSlots + wire::kControlSlots} * options_.slot_size);
  }
  return -EINVAL;
}

}  // namespace sio::internal
