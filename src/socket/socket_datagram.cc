// SPDX-License-Identifier: BSD-2-Clause
//
// The life of a datagram socket: how it gets an address and a queue pair, whom it is connected to,
// its groups, its end. Its messages are in socket_datagram_data.cc.
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/local_addresses.h"
#include "base/log.h"
#include "memory/registration.h"
#include "provider/status.h"
#include "socket/dispatch.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

using provider::ConnectionEvent;

constexpr uint32_t kInlineWish = 256;  // bytes; devices grant what they like
constexpr uint32_t kLeastSlots = 2;
constexpr milliseconds kDrainLimit{1000};
constexpr milliseconds kBetweenRenewals{100};

}  // namespace

// ------------------------------------------------------------------------------------- addresses

// 0 or -errno.
int Socket::try_bind_datagram(const InetAddress& wish) noexcept {
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
    send_areas_.push_back(own_area_);
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
  Channel& in = *channel();
  link_.device = device;
  link_.hub = &in.hub();
  link_.staging = &StagingPools::of(in, *device);
  link_.seat = in.hub().join(*device, sizes.send_wr + sizes.recv_wr, this);
  link_.queue_pair = endpoint_->create_queue_pair(*link_.seat.queue, sizes);
  link_.info.slot_size = DatagramReceiver::kLargest;
  link_.info.recv_slots = region_->slots();
  outcomes_.prepare(!in.hidden());
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
    if (const int error = endpoint_->listen(1)) throw_errno(-error, "being found");
    found_ = true;
  }
  phase_ = Phase::kOpen;
}

// What build_datagram() made, as far as it came: all but the address.
void Socket::unmake_datagram() noexcept {
  if (endpoint_ != nullptr) dispatch_to_nobody(endpoint_->serial());
  datagram_.reset();
  link_.queue_pair.reset();
  if (link_.seat) link_.hub->leave(link_.seat);
  link_ = Link{};
  if (own_area_ != nullptr) {
    std::erase(send_areas_, own_area_);
    receive_area_ = nullptr;
    give_up_region();
    give_up_own_area();
  }
  phase_ = Phase::kFresh;
}

// It has done nothing that anybody knows of; what has come meanwhile is lost, as datagrams may be.
void Socket::unopen_datagram() noexcept {
  if (datagram_ == nullptr || phase_ != Phase::kOpen || closed_) return;
  const sio_info& info = link_.info;
  const bool used = info.messages_sent != 0 || info.messages_received != 0 || info.lookups != 0 ||
                    !datagram_->groups.empty() || datagram_->peer.is_set() || !receives_.empty();
  if (!used) unmake_datagram();
}

// Fails at the next call that needs it, if it does.
void Socket::reopen_datagram() noexcept {
  if (!is_datagram() || !bound_ || phase_ != Phase::kFresh || closed_) return;
  try {
    if (const int error = open_datagram()) LOG_WARN("a datagram socket: %s", errno_text(-error));
  } catch (const std::exception& error) {
    LOG_WARN("a datagram socket: %s", error.what());
  }
}

// --------------------------------------------------------------------------------------- connect

int Socket::connect_datagram(SocketGuard& guard, const InetAddress& to) {
  Socket& socket = *guard;
  if (to.port() == 0) return -EINVAL;
  if (socket.phase_ == Phase::kEnding || socket.phase_ == Phase::kEnded) return -EPIPE;
  if (const int error = socket.ensure_datagram(to)) return error;
  if (socket.datagram_->connecting) return -EALREADY;
  socket.dissolve_datagram();
  Datagram& it = *socket.datagram_;
  DatagramPeer* peer = nullptr;
  if (const int error = it.peers.look_up(to, peer)) return error == -EAGAIN ? -ENOBUFS : error;
  if (peer->state == DatagramPeer::State::kFailed) {
    return -it.peers.take_error(to, *peer);
  }
  peer->pinned = true;
  it.peer = to;
  it.connecting = true;
  socket.so_error_ = socket.connect_error_ = 0;
  if (peer->state == DatagramPeer::State::kKnown) {
    socket.datagram_connected(0);
    return 0;
  }
  if (socket.nonblock_) {
    socket.connect_waits_ = true;
    return -EINPROGRESS;
  }
  const int result = guard.wait(kNever, [&] {
    return socket.datagram_ == nullptr || !socket.datagram_->connecting ||
           socket.phase_ != Phase::kOpen;
  });
  if (result == -EINTR) socket.connect_waits_ = true;
  if (result != 0) return result;
  socket.so_error_ = 0;
  return -socket.connect_error_;
}

void Socket::datagram_connected(int error) noexcept {
  Datagram& it = *datagram_;
  it.connecting = false;
  connect_error_ = so_error_ = error;
  if (error == 0) {
    it.receiver.accept_only(it.peer);
  } else {
    dissolve_datagram();
  }
  channel()->changed();
  if (connect_waits_) channel()->offer(this);
}

// Connected to nobody.
int Socket::dissolve_datagram() noexcept {
  if (datagram_ == nullptr) return 0;
  if (datagram_->peer.is_set()) {
    DatagramPeer* const peer = datagram_->peers.find(datagram_->peer);
    if (peer != nullptr) peer->pinned = false;
  }
  datagram_->peer = {};
  datagram_->connecting = false;
  datagram_->receiver.accept_only({});
  return 0;
}

void Socket::on_datagram_event(ConnectionEvent& event) noexcept {
  if (endpoint_ != nullptr && endpoint_->serial() == event.endpoint) {
    const bool ends = event.kind == ConnectionEvent::Kind::kFailed ||
                      event.kind == ConnectionEvent::Kind::kDeviceGone;
    if (ends) begin_ending(event.error != 0 ? event.error : ENODEV, false);
  } else if (datagram_->groups.owns(event.endpoint)) {
    datagram_->groups.on_event(event);
  } else {
    datagram_->peers.on_event(event, [this](const InetAddress& address) { lookup_ended(address); });
  }
}

void Socket::lookup_timed_out(uint64_t serial) noexcept {
  if (datagram_ == nullptr) return;
  channel()->changed();
  InetAddress address;
  if (datagram_->peers.timed_out(serial, address)) lookup_ended(address);
}

void Socket::lookup_ended(const InetAddress& address) noexcept {
  if (datagram_->connecting && datagram_->peer == address) {
    const DatagramPeer* const peer = datagram_->peers.peek(address);
    const bool failed = peer == nullptr || peer->state == DatagramPeer::State::kFailed;
    const int error = peer == nullptr ? ENOMEM : peer->error;
    pump_waiting();
    datagram_connected(failed ? error : 0);
    if (failed) datagram_->peers.forget(address);
  }
  settle_datagram();
}

// ---------------------------------------------------------------------------------------- groups

namespace {

// What IP_ADD_MEMBERSHIP and the like were given: 0 or -errno.
int read_membership(int level, const void* value, socklen_t length, InetAddress& group,
                    InetAddress& interface, unsigned& index) noexcept {
  index = 0;
  if (level == IPPROTO_IPV6) {
    ipv6_mreq wish;
    if (length != sizeof wish) return -EINVAL;
    std::memcpy(&wish, value, sizeof wish);
    group = InetAddress::of_ipv6(&wish.ipv6mr_multiaddr);
    index = wish.ipv6mr_interface;
  } else {
    ip_mreqn wish{};
    if (length != sizeof(ip_mreq) && length != sizeof wish) return -EINVAL;
    std::memcpy(&wish, value, length);
    group = InetAddress::of_ipv4(&wish.imr_multiaddr);
    interface = InetAddress::of_ipv4(&wish.imr_address);
    if (interface.is_wildcard()) interface = {};
    index = static_cast<unsigned>(wish.imr_ifindex);
  }
  return group.is_group() ? 0 : -EINVAL;
}

}  // namespace

// IP_ADD_MEMBERSHIP and the like. Waits until it is a member, or is not.
int Socket::set_membership(SocketGuard& guard, int level, int option, const void* value,
                           socklen_t length) {
  Socket& socket = *guard;
  const bool joins = level == IPPROTO_IP ? option == IP_ADD_MEMBERSHIP : option == IPV6_JOIN_GROUP;
  const bool leaves =
      level == IPPROTO_IP ? option == IP_DROP_MEMBERSHIP : option == IPV6_LEAVE_GROUP;
  const bool ours = (level == IPPROTO_IP) == (socket.domain_ == AF_INET);
  if (!socket.is_datagram() || !ours || (!joins && !leaves)) return -ENOPROTOOPT;
  InetAddress group;
  InetAddress interface;
  unsigned index;
  if (const int error = read_membership(level, value, length, group, interface, index))
    return error;
  if (socket.phase_ == Phase::kEnding || socket.phase_ == Phase::kEnded) return -EPIPE;
  if (leaves) {
    return socket.datagram_ == nullptr ? -EADDRNOTAVAIL : socket.datagram_->groups.leave(group);
  }
  if (!socket.bound_ && interface.is_set()) {
    if (const int error = socket.bind_datagram(interface, {})) return error;
  }
  if (const int error = socket.ensure_datagram(group)) return error;
  Datagram& it = *socket.datagram_;
  // A socket is on one interface.
  if (!it.source.is_wildcard() && interface.is_set() && interface != it.source.with_port(0))
    return -EADDRNOTAVAIL;
  if (!it.source.is_wildcard() && index != 0 && !interface_has(index, it.source)) return -ENODEV;
  if (const int error = it.groups.join(socket, group)) return error;
  const auto ended = [&] {
    return socket.phase_ != Phase::kOpen || it.groups.outcome(group) != -EINPROGRESS;
  };
  const TimePoint limit = Clock::now() + milliseconds(socket.options_.connect_timeout_ms);
  int result;
  do {
    result = guard.wait(limit, ended);
  } while (result == -EINTR);
  if (result == -EBADF || socket.phase_ != Phase::kOpen) return -EBADF;
  if (result == 0) result = it.groups.outcome(group);
  if (result != 0) it.groups.leave(group);
  return result;
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
  try {
    start_timer(limit_timer_, kDrainLimit, &Socket::renew_datagram);
  } catch (const std::bad_alloc&) {
    begin_ending(ENOMEM, false);
  }
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
    return start_timer(limit_timer_, rest, &Socket::renew_datagram);
  }
  cancel(limit_timer_);
  it.renewed = now;
  it.groups.detach_all();
  try {
    link_.queue_pair.reset();
    link_.queue_pair = endpoint_->create_queue_pair(*link_.seat.queue, it.sizes);
  } catch (const std::system_error& error) {
    LOG_ERROR("a datagram socket: %s", error.what());
    failure_ = so_error_ = link_.info.error = error.code().value();
    it.failing = false;
    return end();
  }
  it.failing = false;
  it.groups.attach_all(*link_.queue_pair);
  LOG_INFO("QP %u: takes the place of one that has failed", link_.queue_pair->number());
  settle_datagram();
}

// ------------------------------------------------------------------------------------------- end

// The queue pair into the error state; end() follows when it is drained. error 0: in order.
void Socket::end_datagram(int error) noexcept {
  phase_ = Phase::kEnding;
  if (error != 0) {
    failure_ = so_error_ = link_.info.error = error;
    LOG_INFO("QP %u: the datagram socket ends: %s", link_.queue_pair->number(), errno_text(error));
  }
  datagram_->groups.clear();
  link_.queue_pair->fail();
  channel()->changed();
  try {
    start_timer(limit_timer_, kDrainLimit, &Socket::ending_timed_out);
  } catch (const std::bad_alloc&) {
    end();
  }
}

void Socket::start_closing_datagram() {
  if (linger_time() == milliseconds(0) || datagram_->failing) {
    return begin_ending(ECONNABORTED, false);
  }
  closing_ = true;
  start_timer(limit_timer_, linger_time(), &Socket::linger_over);
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
