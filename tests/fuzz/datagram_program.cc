// SPDX-License-Identifier: BSD-2-Clause
#include "datagram_program.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "datagram_peer.h"
#include "must.h"
#include "one_thread.h"
#include "pattern.h"
#include "puppet_provider.h"

namespace sio::test {
namespace {

constexpr size_t kAreaBytes = 128 * 1024;
constexpr size_t kSlotBytes = 4160;
constexpr size_t kMostHeld = 24;
constexpr uint32_t kInline[] = {256, 0, 64, 256};
constexpr size_t kRing[] = {1024, 2, 8, 64};
constexpr int kQuota[] = {64, 4, 8, 16};
constexpr int kPeers[] = {1024, 2, 3, 16};
constexpr uint32_t kMtu[] = {4096, 1024, 256, 2048};

int lowest_free_descriptor() {
  const int fd = dup(0);
  MUST(fd >= 0);
  ::close(fd);
  return fd;
}

// With that family, whatever it is.
struct Name {
  explicit Name(const InetAddress& address) : storage{} { length = address.write_to(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr_storage storage;
  socklen_t length;
};

}  // namespace

// ------------------------------------------------------------------------------- to and from being

DatagramProgram::DatagramProgram(Input& input)
    : input_(input),
      kind_(input.byte()),
      sizes_(input.byte()),
      more_(input.byte()),
      family_((kind_ & 1) != 0 ? AF_INET6 : AF_INET),
      joined_((kind_ & 2) != 0),
      deliver_(joined_ && (kind_ & 4) != 0),
      first_free_(lowest_free_descriptor()) {
  puppet().max_inline = kInline[kind_ >> 5 & 3];
  puppet().flush_late = (kind_ & 128) != 0;
  datagram_puppet().mtu = kMtu[more_ >> 2 & 3];
  datagram_puppet().fails = 0;
  MUST(dma_alloc(&area_, kAreaBytes, 0) == 0);
  if (joined_) {
    ring_.resize(kRing[sizes_ >> 6]);
    channel_ = ec_create_ring(0, ring_.data(), ring_.size());
    MUST(channel_ >= 0);
  }
  open();
}

void DatagramProgram::open() {
  if (socket_ >= 0) return;
  ledger_ = datagram_puppet().ledger = std::make_shared<DatagramLedger>();
  ledger_->sources = static_cast<uint32_t>(kPeers[more_ & 3]);
  socket_ = sio_socket(family_, SOCK_DGRAM | ((kind_ & 16) != 0 ? 0 : SOCK_NONBLOCK), 0);
  MUST(socket_ >= 0);
  peer_ = {};
  connected_ = Wish::kNo;
  connects_.clear();
  groups_.clear();
  hup_ = false;
  const bool binds_first = (more_ & 0x30) == 0x30;
  if (binds_first) bind();
  set_options();
  if (joined_) MUST(ec_add_fd(channel_, socket_, deliver_ ? EC_DELIVER : EPOLLIN, this) == 0);
  const size_t bytes = static_cast<size_t>(2 + (sizes_ & 15)) * kSlotBytes;
  const bool receives = (kind_ & 8) != 0 && dma_assoc(socket_, area_, bytes, 0) == 0;
  if (!receives) MUST(dma_assoc(socket_, area_, 0, DMA_SEND) == 0);
  if (!binds_first && (more_ & 0x10) != 0) bind();
}

void DatagramProgram::set_options() const {
  const auto set = [this](int option, int value) {
    MUST(sio_setsockopt(socket_, SOL_SIO, option, &value, sizeof value) == 0);
  };
  set(SIO_RECV_SLOTS, 2 + (sizes_ & 15));
  set(SIO_SEND_QUOTA, kQuota[sizes_ >> 4 & 3]);
  set(SIO_DATAGRAM_PEERS, kPeers[more_ & 3]);
  set(SIO_CONNECT_TIMEOUT, 400);
  const linger on_close{1, more_ >> 7 & 1};
  MUST(sio_setsockopt(socket_, SOL_SOCKET, SO_LINGER, &on_close, sizeof on_close) == 0);
}

// To an address, or to any; perhaps a port that another one has.
void DatagramProgram::bind() {
  const bool any = (more_ & 0x40) != 0;
  InetAddress address = some_host(2, family_);
  if (any) {
    sockaddr_storage nothing{};
    nothing.ss_family = static_cast<sa_family_t>(family_);
    address = InetAddress(nothing).with_port(7777);
  }
  const Name name(address);
  if (sio_bind(socket_, name.get(), name.length) == 0) ledger_->name = address;
}

void DatagramProgram::close() {
  if (socket_ < 0) return;
  ledger_->closes();
  MUST(sio_close(std::exchange(socket_, -1)) == 0);
}

void DatagramProgram::end() {
  close();
  for (int i = 0; i < 12 && !settled(); ++i) pass_time(std::chrono::seconds(1));
  MUST(puppet().works.empty() && datagram_puppet().endpoints.empty());
  MUST(held_.empty() && (!joined_ || lent_.empty()));
  for (const auto& [first, lent] : lent_) MUST(release(lent.pieces));
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0 && stat.free == stat.size);
  MUST(dma_free(area_, kAreaBytes) == 0);
  if (joined_) MUST(ec_destroy(channel_) == 0);
  pass_time(std::chrono::seconds(1));
  MUST(puppet().nothing_left() && PuppetDestination::alive() == 0);
  MUST(control_work() == 0);
  MUST(lowest_free_descriptor() == first_free_);
}

// All that was closed has gone, and every outcome was told.
bool DatagramProgram::settled() {
  run_control();
  for (const Held& one : std::exchange(held_, {})) {
    MUST(sio_release(nullptr, one.at, one.bytes.size()) == 0);
  }
  if (joined_) take_events(UINT32_MAX);
  run_control();
  const bool told = !joined_ || lent_.empty();
  return told && puppet().works.empty() && datagram_puppet().endpoints.empty();
}

// ----------------------------------------------------------------------------------------- steps

void DatagramProgram::act(uint32_t step) {
  switch (step) {
    case 0:
      return send_copy(MSG_DONTWAIT);
    case 1:
      return send_copy(0);
    case 2:
      return send_pieces();
    case 3:
      return send_lent();
    case 4:
      return send_oddly();
    case 5:
      return receive();
    case 6:
      return release_one();
    case 7:
      return connect();
    case 8:
      return join();
    case 9:
      return leave();
    case 10:
      return flush();
    case 11:
      return close();
    case 12:
      return open();
    case 13:
      return look();
    case 14: {
      timespec time{0, 2'000'000};
      if (joined_) ec_delay(channel_, &time);
      return;
    }
    default:
      return;  // a signal, if the program sleeps
  }
}

// A host, a group, or (not set) the peer that it is connected to.
InetAddress DatagramProgram::some_address() {
  const uint32_t which = input_.byte();
  if (which == 255) return {};
  return which >= 128 ? some_group(which, family_) : some_host(which, family_);
}

// The message may be on the wire before the call returns.
bool DatagramProgram::send(const InetAddress& to, const std::vector<iovec>& pieces, int flags,
                           uint64_t& number) {
  std::string whole;
  for (const iovec& piece : pieces) {
    whole.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  const InetAddress there = to.is_set() ? to : peer_;
  if (!there.is_set()) return false;
  const std::shared_ptr<DatagramLedger> ledger = ledger_;
  number = ledger->offers(there, whole);
  const Name name(to);
  sockaddr* const at = to.is_set() ? const_cast<sockaddr*>(name.get()) : nullptr;
  const socklen_t length = to.is_set() ? name.length : 0;
  int result;
  if (pieces.size() == 1) {
    result = sio_sendto(socket_, pieces[0].iov_base, pieces[0].iov_len, flags, at, length);
  } else {
    msghdr message{};
    message.msg_name = at;
    message.msg_namelen = length;
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    result = sio_sendmsg(socket_, &message, sizeof message, flags);
  }
  if (result != 0) ledger->takes_back(there);
  return result == 0;
}

void DatagramProgram::send_copy(int flags) {
  const InetAddress to = some_address();
  const uint32_t word = input_.word();
  if (socket_ < 0) return;
  const size_t size = (word & 0x8000) != 0 ? word % 4200 : word % 300;
  std::string text = pattern(size, ++pattern_);
  uint64_t number;
  send(to, {{text.data(), text.size()}}, flags, number);
}

void DatagramProgram::send_pieces() {
  const InetAddress to = some_address();
  const uint32_t n = input_.below(19);
  const size_t size = input_.byte();
  if (socket_ < 0) return;
  std::string text = pattern(size + 19, ++pattern_);
  std::vector<iovec> pieces;
  for (uint32_t i = 0; i < n; ++i) pieces.push_back({text.data() + i, i % 3 == 2 ? 0 : size});
  uint64_t number;
  if (n != 1) send(to, pieces, MSG_DONTWAIT, number);
}

// One block, or two, with something from elsewhere between them.
void DatagramProgram::send_lent() {
  const InetAddress to = some_address();
  const uint32_t word = input_.word();
  const int flags = MSG_DONTWAIT | ((word & 0x8000) != 0 ? SIO_RELEASE : 0);
  std::vector<iovec> blocks;
  for (size_t size = 1 + word % 2200; blocks.size() < ((word & 0x4000) != 0 ? 2 : 1);) {
    void* block;
    if (socket_ < 0 || sio_reserve(area_, &block, size) != 0) break;
    fill(block, size, ++pattern_);
    blocks.push_back({block, size});
    size = 1 + size / 3;
  }
  if (blocks.empty()) return;
  std::string between = pattern(word % 64, ++pattern_);
  std::vector<iovec> pieces = blocks;
  if (blocks.size() == 2 && (flags & SIO_RELEASE) == 0) {
    pieces.insert(pieces.begin() + 1, {between.data(), between.size()});
  }
  uint64_t number = 0;
  if (!send(to, pieces, flags, number)) {
    MUST(release(blocks));  // still ours
  } else if ((flags & SIO_RELEASE) == 0) {
    MUST(lent_.emplace(blocks[0].iov_base, Lent{blocks, ledger_, number}).second);
  }
}

// To nowhere.
void DatagramProgram::send_oddly() {
  const uint32_t how = input_.byte();
  if (socket_ < 0) return;
  const int other = family_ == AF_INET ? AF_INET6 : AF_INET;
  const bool port = (how & 1) != 0;
  const InetAddress to = port ? some_host(how >> 1, family_).with_port(0) : some_host(how, other);
  const Name name(to);
  const char byte = 'x';
  MUST(sio_sendto(socket_, &byte, 1, MSG_DONTWAIT, name.get(), name.length) != 0);
}

bool DatagramProgram::release(const std::vector<iovec>& pieces) const {
  return std::all_of(pieces.begin(), pieces.end(), [this](const iovec& piece) {
    return sio_release(area_, piece.iov_base, piece.iov_len) == 0;
  });
}

// ------------------------------------------------------------------------------------- receiving

void DatagramProgram::receive() {
  const uint32_t how = input_.byte();
  const unsigned most = 1 + (how & 15);
  if (joined_) return take_events(most);
  if (socket_ >= 0) take_messages(most, (how & 16) != 0 ? 0 : MSG_DONTWAIT);
}

void DatagramProgram::take_events(unsigned most) {
  event_data_t event;
  while (most-- > 0 && held_.size() < kMostHeld) {
    if (ec_next_event(channel_, &event) != 0) return deliver_ ? look_at_counts(true) : void();
    take(event);
  }
}

void DatagramProgram::take(const event_data_t& event) {
  MUST(event.cookie == this);
  if (event.kind == EC_SENT) {
    const auto found = lent_.find(event.data.buf);
    MUST(found != lent_.end() && found->second.pieces[0].iov_len == event.data.len);
    const auto& [pieces, ledger, number] = found->second;
    MUST(event.error != 0 || ledger->has_left(number));
    MUST(release(pieces));
    lent_.erase(found);
    return;
  }
  MUST(event.fd == socket_ && !hup_);
  hup_ = event.kind == EC_HUP;
  if (event.kind == EC_RECV) hold(event.data.buf, event.data.len, event.data.from);
  if (event.kind == EC_READABLE) take_messages(UINT32_MAX, MSG_DONTWAIT);
  if (event.kind != EC_CONNECT) return;
  MUST(!connects_.empty());  // or it is one too many
  const bool undone = connects_.front();
  connects_.pop_front();
  if (undone) return;
  MUST(connected_ == Wish::kPerhaps);
  connected_ = event.error == 0 ? Wish::kYes : Wish::kNo;
  ledger_->connects(peer_, connected_);
}

void DatagramProgram::take_messages(unsigned most, int flags) {
  while (most-- > 0 && held_.size() < kMostHeld && socket_ >= 0) {
    const void* data;
    sockaddr_storage from;
    auto* const name = reinterpret_cast<sockaddr*>(&from);
    const int n = sio_recvfrom(socket_, &data, SIZE_MAX, flags, name, sizeof from);
    if (n < 0) {
      if (errno == EAGAIN) look_at_counts(true);
      return;
    }
    hold(const_cast<void*>(data), static_cast<size_t>(n), name);
  }
}

void DatagramProgram::hold(void* data, size_t size, const sockaddr* from) {
  ledger_->received(data, size, InetAddress(from));
  held_.push_back({data, std::string(static_cast<const char*>(data), size)});
}

void DatagramProgram::release_one() {
  const uint32_t which = input_.byte();
  if (which >= 128 && !joined_ && !lent_.empty()) {
    // All of it, or nothing yet.
    const std::vector<iovec> pieces = lent_.begin()->second.pieces;
    if (sio_release(nullptr, pieces[0].iov_base, pieces[0].iov_len) != 0) return;
    MUST(release({pieces.begin() + 1, pieces.end()}));
    lent_.erase(pieces[0].iov_base);
  } else if (!held_.empty()) {
    const auto held = held_.begin() + which % held_.size();
    MUST(std::memcmp(held->at, held->bytes.data(), held->bytes.size()) == 0);
    MUST(sio_release(nullptr, held->at, held->bytes.size()) == 0);
    held_.erase(held);
  }
}

// -------------------------------------------------------------------------------- peers and groups

void DatagramProgram::connect() {
  const InetAddress to = some_address();
  if (socket_ < 0 || to.is_group()) return;
  // Of one peer, of another, or of anybody: while the call lasts all may be so.
  const Wish was = connected_;
  ledger_->connects(was == Wish::kNo ? to : InetAddress(),
                    to.is_set() || was != Wish::kNo ? Wish::kPerhaps : Wish::kNo);
  if (!to.is_set()) {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    MUST(sio_connect(socket_, &nobody, sizeof nobody) == 0);
    connects_.assign(connects_.size(), true);
    connected_ = Wish::kNo;
    peer_ = {};
    return ledger_->connects({}, Wish::kNo);
  }
  const InetAddress before = std::exchange(peer_, to);
  const Name name(to);
  const int result = sio_connect(socket_, name.get(), name.length);
  const int error = result == 0 ? 0 : errno;
  if (error == EALREADY || error == EPIPE) {
    peer_ = before;
    connected_ = was;
    return ledger_->connects(peer_, connected_);
  }
  connects_.assign(connects_.size(), true);  // another one takes its place
  const bool goes_on = error == EINPROGRESS || error == EINTR;
  if (goes_on) connects_.push_back(false);
  connected_ = error == 0 ? Wish::kYes : goes_on ? Wish::kPerhaps : Wish::kNo;
  if (connected_ == Wish::kNo) peer_ = {};
  ledger_->connects(peer_, connected_);
}

void DatagramProgram::join() {
  const uint32_t which = input_.byte() & 3;
  if (socket_ < 0) return;
  const InetAddress group = some_group(which, family_);
  const Name name(group);
  Wish& wish = groups_[which];
  if (wish == Wish::kNo) ledger_->joins(group, Wish::kPerhaps);
  int result;
  if (family_ == AF_INET) {
    ip_mreq request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in&>(name.storage).sin_addr;
    result = sio_setsockopt(socket_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
  } else {
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6&>(name.storage).sin6_addr;
    result = sio_setsockopt(socket_, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request);
  }
  MUST(result == 0 ? wish == Wish::kNo
                   : wish == Wish::kNo || errno == EADDRINUSE || errno == EPIPE);
  if (result != 0 && wish == Wish::kYes) return;  // it is, or was before the socket ended
  if (result == 0) wish = Wish::kYes;
  ledger_->joins(group, wish);
}

void DatagramProgram::leave() {
  const uint32_t which = input_.byte() & 3;
  if (socket_ < 0) return;
  const InetAddress group = some_group(which, family_);
  const Name name(group);
  int result;
  if (family_ == AF_INET) {
    ip_mreq request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in&>(name.storage).sin_addr;
    result = sio_setsockopt(socket_, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof request);
  } else {
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6&>(name.storage).sin6_addr;
    result = sio_setsockopt(socket_, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &request, sizeof request);
  }
  MUST((result == 0) == (groups_[which] == Wish::kYes) || errno == EPIPE);
  if (result != 0) return;
  groups_[which] = Wish::kNo;
  ledger_->joins(group, Wish::kNo);
}

void DatagramProgram::flush() {
  const uint32_t how = input_.below(4);
  if (socket_ < 0) return;
  timespec time{0, how == 0 ? 0 : 3'000'000};
  sio_flush(socket_, how == 3 ? nullptr : &time);
}

void DatagramProgram::look() const {
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0);
  MUST(stat.free + stat.reserved + stat.received + stat.posted + stat.in_flight == stat.size);
  if (socket_ >= 0) look_at_counts(false);
}

// What has come is taken, dropped and counted, or waits.
void DatagramProgram::look_at_counts(bool all_taken) const {
  sio_info info{};
  socklen_t size = sizeof info;
  if (socket_ < 0 || sio_getsockopt(socket_, SOL_SIO, SIO_INFO, &info, &size) != 0) return;
  if (info.receives_posted == 0) return;  // it is not open
  const DatagramLedger::Counts& counts = ledger_->counts();
  MUST(info.datagrams_odd == counts.odd);
  MUST(info.datagrams_unwanted >= counts.unwanted && info.messages_received >= counts.taken);
  const uint64_t known = info.messages_received + info.datagrams_odd + info.datagrams_unwanted;
  MUST(known <= counts.came);
  if (all_taken) {
    ledger_->nothing_left();
    MUST(info.messages_received == counts.taken && known == counts.came);
  }
  if (!counts.exact) return;
  MUST(info.datagrams_unwanted == counts.unwanted);
  MUST(info.datagrams_lost == counts.lost && info.datagrams_late == counts.late);
}

}  // namespace sio::test
