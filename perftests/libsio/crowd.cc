// SPDX-License-Identifier: BSD-2-Clause
#include "libsio/crowd.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "libsio/connect.h"
#include "process.h"

namespace sio_perf {
namespace {

constexpr uint32_t kControlSlots = 4;  // beside those for messages (dma_assoc)
// The library's most slots are 4096, and each connection needs 6 of those that are shared.
constexpr uint32_t kMostSharing = 512;
constexpr uint32_t kMostSlots = 4096;
constexpr uint32_t kLeastSlots = 64;  // shared
constexpr int kBacklog = 4096;
constexpr int kTickMs = 100;  // between looks whether a signal came
// A connect that the device's connection manager forgot is asked again after 4 s.
constexpr int kConnectMs = 60'000;

uint32_t slots_of_group(const Parameters& parameters, uint32_t members) {
  if (!parameters.shared) return parameters.recv_slots;
  return std::clamp(members * parameters.recv_slots, kLeastSlots, kMostSlots);
}

size_t bytes_of(const Parameters& parameters, uint32_t slots) {
  return size_t{slots + kControlSlots} * parameters.slot_size;
}

void set(int socket, int option, uint32_t value, const char* what) {
  const int number = static_cast<int>(value);
  if (sio_setsockopt(socket, SOL_SIO, option, &number, sizeof number) != 0) fail_with_errno(what);
}

void* cookie_of(size_t member) { return reinterpret_cast<void*>(member); }

uint16_t port_of(int socket) {
  Address address;
  address.length = sizeof address.storage;
  if (sio_getsockname(socket, address.get(), &address.length) != 0)
    fail_with_errno("sio_getsockname");
  return ntohs(reinterpret_cast<sockaddr_in*>(address.get())->sin_port);
}

}  // namespace

SioCrowd::SioCrowd(const Parameters& parameters)
    : parameters_(parameters),
      group_members_(parameters.shared ? kMostSharing : parameters.connections),
      channel_(new_sio_channel()) {
  for (uint32_t left = parameters.connections; left > 0;) {
    const uint32_t members = std::min(left, group_members_);
    const size_t size = bytes_of(parameters, slots_of_group(parameters, members));
    const size_t all = parameters.shared ? size : members * size;
    groups_.push_back(std::make_unique<Group>(Group{SioArea(all), size}));
    left -= members;
  }
  members_.reserve(parameters.connections);
}

SioCrowd::~SioCrowd() {
  listeners_.clear();
  for (const int member : members_) {
    if (member >= 0) sio_close(member);
  }
}

// A socket with its part of the receive memory, in the channel.
int SioCrowd::new_member(const Address& address, size_t number) {
  const int socket = sio_socket(address.storage.ss_family, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
  if (socket < 0) fail_with_errno("sio_socket", "raise the limit `ulimit -n`");
  const Group& group = group_of(number);
  set(socket, SIO_SLOT_SIZE, parameters_.slot_size, "--slot-size");
  set(socket, SIO_RECV_SLOTS,
      static_cast<uint32_t>(group.assoc_size / parameters_.slot_size) - kControlSlots,
      "--recv-slots");
  set(socket, SIO_CONNECT_TIMEOUT, kConnectMs, "SIO_CONNECT_TIMEOUT");
  const unsigned flags = DMA_RECV | (parameters_.shared ? DMA_SHARED : 0);
  if (ec_add_fd(channel_.get(), socket, EC_DELIVER, cookie_of(number)) != 0) {
    fail_with_errno("ec_add_fd");
  }
  if (dma_assoc(socket, group.area.get(), group.assoc_size, flags) != 0) {
    fail_with_errno("dma_assoc");
  }
  return socket;
}

std::vector<uint16_t> SioCrowd::listen(const Address& address) {
  std::vector<uint16_t> ports;
  for (size_t first = 0; first < parameters_.connections; first += group_members_) {
    const int socket = new_member(address, first);
    listeners_.push_back(std::make_unique<SioSocket>(socket));
    if (sio_bind(socket, address.get(), address.length) != 0) fail_with_errno("sio_bind");
    if (sio_listen(socket, kBacklog) != 0) fail_with_errno("sio_listen");
    ports.push_back(port_of(socket));
  }
  return ports;
}

void SioCrowd::connect(const std::string& host, const std::vector<uint16_t>& ports, uint32_t count,
                       uint32_t at_once) {
  while (established_ < count) {
    check_stop();
    while (members_.size() < count && members_.size() - established_ < at_once) {
      start_connect(host, ports);
    }
    // Asleep: the library's thread, on the same processor perhaps, has its share in it.
    if (!take([](const Arrived&) {}, [](uint32_t) {})) sleep(kTickMs);
  }
}

void SioCrowd::start_connect(const std::string& host, const std::vector<uint16_t>& ports) {
  const size_t number = members_.size();
  Address address = resolve(host, ports.at(number / group_members_), false);
  const int socket = new_member(address, number);
  members_.push_back(socket);
  if (sio_connect(socket, address.get(), address.length) != 0 && errno != EINPROGRESS) {
    fail_connect(host);
  }
}

uint32_t SioCrowd::send(uint32_t member, const unsigned char* message, uint32_t length,
                        uint32_t count) {
  const int socket = members_[member];
  if (socket < 0) return count;  // it has gone
  for (uint32_t sent = 0; sent < count; ++sent) {
    if (sio_send(socket, message, length, MSG_DONTWAIT) == 0) continue;
    if (errno == EAGAIN) return sent;
    throw PeerGone(std::string("connection ") + std::to_string(member) + ": " +
                   std::strerror(errno));
  }
  return count;
}

void SioCrowd::sleep(int timeout_ms) {
  timespec time = {timeout_ms / 1000, timeout_ms % 1000 * 1'000'000L};
  if (ec_delay(channel_.get(), timeout_ms < 0 ? nullptr : &time) == 0) return;
  if (errno != ETIMEDOUT && errno != EINTR) fail_with_errno("ec_delay");
}

void SioCrowd::wake() { ec_post(channel_.get(), 0, nullptr); }

void SioCrowd::handle(const event_data_t& event) {
  switch (event.kind) {
    case EC_CONNECT:
      if (event.error != 0) {
        throw Failure(std::string("connect: ") + std::strerror(event.error));
      }
      ++established_;
      break;
    case EC_ACCEPT:
      accept(event.fd);
      break;
    case EC_EOF:
    case EC_HUP:
      ended(event);
      break;
    default:
      break;
  }
}

void SioCrowd::accept(int listener) {
  const size_t number = members_.size();
  if (number == parameters_.connections) return;  // nobody that was announced
  const int socket =
      sio_accept_ec(listener, nullptr, nullptr, SOCK_NONBLOCK, channel_.get(), cookie_of(number));
  if (socket >= 0) {
    members_.push_back(socket);
  } else if (errno != EAGAIN) {
    fail_with_errno("sio_accept_ec");
  }
}

// Who closes is through with all that it sent.
void SioCrowd::ended(const event_data_t& event) {
  int& socket = members_[reinterpret_cast<uintptr_t>(event.cookie)];
  if (socket < 0) return;
  sio_close(socket);
  socket = -1;
}

sio_info SioCrowd::info_of(int socket) const {
  sio_info info = {};
  socklen_t length = sizeof info;
  if (sio_getsockopt(socket, SOL_SIO, SIO_INFO, &info, &length) != 0) fail_with_errno("SIO_INFO");
  return info;
}

Traffic SioCrowd::traffic() const {
  Traffic all;
  for (const int member : members_) {
    if (member < 0) continue;
    const sio_info info = info_of(member);
    all.messages += info.messages_sent;
    all.sends += info.sends_posted;
    all.keepalives += info.keepalives;
  }
  return all;
}

}  // namespace sio_perf
