// SPDX-License-Identifier: BSD-2-Clause
//
// The life of a datagram socket: how it gets an address and a queue pair, another one if that
// fails, and how it ends. Whom it is connected to, and its groups, are in
// socket_datagram_peers.cc; its messages in socket_datagram_data.cc.
#include <algorithm>

#include "base/error.h"
#include "base/local_addresses.h"
#include "base/log.h"
#include "memory/registration.h"
#include "provider/status.h"
#include "socket/channel_memory.h"
#include "socket/dispatch.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

constexpr uint32_t kLeastSlots = 2;
// By peers, that wait to be answered. The kernel refuses one beyond that, as if nobody were here.
constexpr int kMostQuestions = 1024;
constexpr milliseconds kBetweenRenewals{100};

}  // namespace

// ------------------------------------------------------------------------------------- addresses

// 0 or -errno.
int Socket::try_bind_datagram(const InetAddress& wish) {
  const auto bind_to = [&](const InetAddress& address) {
    endpoint_ = provider::instance().connections().create_datagram_endpoint();
    const sockaddr_storage name = address.to_storage();
    return endpoint_->bind(reinterpret_cast<const sockaddr*>(&name), false);
  };
  shared_port_ = 0;
  int error = bind_to(wish);
  // Another socket has the port, and is who is found there. What goes to groups at that port is for
  // this one, too.
  if (error == -EADDRINUSE && options_.reuse_address && wish.port() != 0) {
    error = bind_to(wish.with_port(0));
    shared_port_ = wish.port();
  }
  if (error == -ENODEV) error = -EADDRNOTAVAIL;  // an address that no RDMA device has
  if (error != 0) endpoint_.reset();
  return error;
}

// `towards`: where the first message goes, if that is known.
int Socket::bind_datagram(const InetAddress& wish, const InetAddress& towards) {
  start_dispatch();
  int error = try_bind_datagram(wish);
  if (error == 0 && endpoint_->device() == nullptr) error = bind_to_some_device(wish, towards);
  if (error != 0) return error;
  bound_ = true;
  try {
    error = open_datagram();
  } catch (...) {
    bound_ = false;
    endpoint_.reset();
    throw;
  }
  if (error == 0) return 0;
  bound_ = false;
  endpoint_.reset();
  return error;
}

// A queue pair is one device's, and so is its socket: of all addresses that were asked for it gets
// one.
int Socket::bind_to_some_device(const InetAddress& wish, const InetAddress& towards) {
  std::vector<InetAddress> addresses = local_addresses(domain_);
  const InetAddress first = towards.is_set() ? source_towards(towards) : InetAddress();
  if (first.is_set()) addresses.insert(addresses.begin(), first);
  int result = -EADDRNOTAVAIL;
  for (const InetAddress& one : addresses) {
    const int error = try_bind_datagram(one.with_port(wish.port()));
    if (error == 0 && endpoint_->device() != nullptr) return 0;
    if (error == -EADDRINUSE) result = error;
  }
  endpoint_.reset();
  return result;
}

InetAddress Socket::datagram_name() const noexcept {
  if (endpoint_ == nullptr) {
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(domain_);
    return InetAddress(any);
  }
  const InetAddress name(endpoint_->local_address());
  return shared_port_ != 0 ? name.with_port(shared_port_) : name;
}

// Bound and open, as any call that needs it finds it. 0 or -errno.
int Socket::ensure_datagram(const InetAddress& towards) {
  if (phase_ == Phase::kFresh && bound_) return open_datagram();
  if (phase_ != Phase::kFresh) return 0;
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(domain_);
  return bind_datagram(InetAddress(any), towards);
}

// ------------------------------------------------------------------------------------ queue pair

uint32_t Socket::datagram_slots_in(size_t bytes) const noexcept {
  const size_t slots = std::min<size_t>(bytes / DatagramReceiver::kSlotBytes, options_.recv_slots);
  return slots < kLeastSlots ? 0 : static_cast<uint32_t>(slots);
}

void Socket::take_datagram_memory(Area& area, size_t bytes) {
  const uint32_t slots = datagram_slots_in(bytes);
  const size_t in_slots = size_t{slots} * DatagramReceiver::kSlotBytes;
  region_ = Region::create(area, in_slots, DatagramReceiver::kSlotBytes, slots);
}

// As prepare_receive_memory() for connections.
void Socket::prepare_datagram_memory() {
  const size_t needed = size_t{options_.recv_slots} * DatagramReceiver::kSlotBytes;
  if (receive_area_ == nullptr) {
    register_areas_with_provider();
    own_area_ = Area::create(std::max<size_t>(needed, settings().default_area));
    own_area_->associate();
    receive_area_ = own_area_;
    send_areas_.add(*own_area_);
  }
  const size_t bytes = receive_size_ != 0 ? receive_size_ : needed;
  const uint32_t slots = datagram_slots_in(bytes);
  if (slots == 0) throw_errno(EINVAL, "receive memory");
  if (region_ != nullptr && region_->slots() != slots) give_up_region();
  if (region_ == nullptr) take_datagram_memory(*receive_area_, bytes);
}

int Socket::open_datagram() {
  try {
    build_datagram();
  } catch (const std::system_error& error) {
    LOG_ERROR("a datagram socket: %s", error.what());
    unmake_datagram();
    return -error.code().value();
  } catch (const std::bad_alloc&) {
    unmake_datagram();
    return -ENOMEM;
  }
  return 0;
}

void Socket::build_datagram() {
  provider::Device* const device = endpoint_->device();
  if (device == nullptr) throw_errno(ENODEV, "device of a datagram socket");
  prepare_datagram_memory();
  provider::QueueSizes sizes;
  sizes.send_wr = std::min(options_.send_quota, device->limits().max_qp_wr);
  sizes.recv_wr = region_->slots();
  sizes.send_sge = std::min(OutgoingDatagram::kMostPieces, device->limits().max_sge);
  sizes.inline_bytes = kInlineWish;
  begin_link(*device);
  link_.seat = link_.hub->join(*device, sizes.send_wr + sizes.recv_wr, this);
  link_.queue_pair = endpoint_->create_queue_pair(*link_.seat.queue, sizes);
  link_.info.slot_size = DatagramReceiver::kLargest;
  link_.info.recv_slots = region_->slots();
  outcomes_.prepare(!channel()->hidden());
  datagram_ = std::make_unique<Datagram>(*this, link_, outcomes_, options_.datagram_peers);
  Datagram& it = *datagram_;
  it.sizes = sizes;
  it.mtu = std::min(endpoint_->port_info().mtu, DatagramReceiver::kLargest);
  it.sender.prepare(sizes.send_wr);
  it.receiver.prepare(region_, note_returned, this);
  region_ = nullptr;  // the receiver's now
  if (const int error = it.receiver.post_all()) throw_errno(-error, "posting receives");
  it.start();
  it.source = InetAddress(endpoint_->local_address());
  it.name = datagram_name();
  it.receiver.set_names(it.name, it.source);
  it.peers.open(*endpoint_, it.source, options_.connect_timeout_ms);
  it.groups.open(*link_.queue_pair, it.source);
  dispatch_to(endpoint_->serial(), this);
  if (!found_) {
    if (const int error = endpoint_->listen(kMostQuestions)) throw_errno(-error, "being found");
    found_ = true;
  }
  set_phase(Phase::kOpen);
}

// What build_datagram() made, as far as it came: all but the address.
void Socket::unmake_datagram() noexcept {
  if (endpoint_ != nullptr) dispatch_to_nobody(endpoint_->serial());
  datagram_.reset();
  link_.queue_pair.reset();
  if (link_.seat) link_.hub->leave(link_.seat);
  link_ = Link{};
  if (own_area_ != nullptr) {
    send_areas_.remove(*own_area_);
    receive_area_ = nullptr;
    give_up_region();
    give_up_own_area();
  }
  readable_told_ = false;
  set_phase(Phase::kFresh);
}

// It has done nothing that anybody knows of; what has come meanwhile is lost, as datagrams may be.
void Socket::unopen_datagram() noexcept {
  if (datagram_ == nullptr || phase_ != Phase::kOpen || rare_.closed) return;
  const sio_info& info = link_.info;
  const bool used = info.messages_sent != 0 || info.messages_received != 0 || info.lookups != 0 ||
                    !datagram_->groups.empty() || datagram_->peer.is_set() || !receives_.empty();
  if (!used) unmake_datagram();
}

// Fails at the next call that needs it, if it does.
void Socket::reopen_datagram() noexcept {
  if (!is_datagram() || !bound_ || phase_ != Phase::kFresh || rare_.closed) return;
  try {
    if (const int error = open_datagram()) LOG_WARN("a datagram socket: %s", errno_text(-error));
  } catch (const std::exception& error) {
    LOG_WARN("a datagram socket: %s", error.what());
  }
}

// ----------------------------------------------------------------------------------------- failure

// Some devices take a datagram that finds no way (the interface is down) for a failure of the queue
// pair. To its socket it is a lost datagram: once all is flushed a new one takes its place.
void Socket::datagram_failed(const ibv_wc& wc, bool receive) noexcept {
  note_failure(wc);
  if (phase_ != Phase::kOpen || datagram_->failing) return;
  if (closing_) return begin_ending(provider::errno_of(wc.status, receive), false);
  datagram_->failing = true;
  link_.queue_pair->fail();
  if (!start_limit(kDrainLimit, &Socket::renew_datagram)) begin_ending(ENOMEM, false);
}

// At most once in a while, or there would be a new one for each message that is sent.
void Socket::renew_datagram() {
  Datagram& it = *datagram_;
  if (phase_ != Phase::kOpen || !it.failing) return;
  if (!drained()) return begin_ending(EIO, false);
  const TimePoint due = it.renewed + kBetweenRenewals;
  const TimePoint now = Clock::now();
  if (now < due) {
    const auto rest = std::chrono::ceil<milliseconds>(due - now);
    if (start_limit(rest, &Socket::renew_datagram)) return;  // else at once
  }
  cancel(limit_timer_);
  it.renewed = now;
  it.groups.detach_all();
  try {
    link_.queue_pair.reset();
    link_.queue_pair = endpoint_->create_queue_pair(*link_.seat.queue, it.sizes);
  } catch (const std::exception& error) {
    LOG_ERROR("a datagram socket: %s", error.what());
    fails_with(EIO);
    it.failing = false;
    if (it.connecting) datagram_connected(failure_);
    return end();
  }
  it.failing = false;
  it.groups.attach_all(*link_.queue_pair);
  LOG_INFO("QP %u: takes the place of one that has failed", link_.queue_pair->number());
  settle_datagram();
}

// ------------------------------------------------------------------------------------------- end

// The queue pair into the error state; end() follows when it is drained. error 0: in order.
void Socket::end_datagram(int error, int told_as) noexcept {
  set_phase(Phase::kEnding);
  if (error != 0) {
    LOG_INFO("QP %u: the datagram socket ends: %s", link_.queue_pair->number(), errno_text(error));
    fails_with(told_as);
  }
  // What the program waits for ends before the socket does.
  if (datagram_->connecting) datagram_connected(error != 0 ? error : ECONNABORTED);
  datagram_->groups.clear();
  link_.queue_pair->fail();
  channel()->changed();
  if (!start_limit(kDrainLimit, &Socket::ending_timed_out)) end();
}

void Socket::start_closing_datagram() {
  if (linger_time() == milliseconds(0) || datagram_->failing) {
    return begin_ending(ECONNABORTED, false);
  }
  closing_ = true;
  if (!start_limit(linger_time(), &Socket::linger_over)) return begin_ending(ENOMEM, false);
  advance_closing_datagram();
}

// All that was sent has left: it may go. Nothing is owed to the peers.
void Socket::advance_closing_datagram() noexcept {
  if (phase_ != Phase::kOpen || !datagram_->all_left()) return;
  begin_ending(0, false);
  if (phase_ == Phase::kEnding && drained()) end();
}

uint64_t Socket::largest_datagram() const noexcept {
  if (datagram_ == nullptr) return DatagramReceiver::kLargest;
  return datagram_->most_to(datagram_->peer);
}

}  // namespace sio::internal
