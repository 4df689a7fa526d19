// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/support.h"

#include <arpa/inet.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

namespace sio::test {
namespace {

std::atomic<int> complaint_count{0};
std::atomic<void (*)(const std::string&)> complaint_handler{nullptr};

}  // namespace

uint64_t scaled(uint64_t n) {
  static const char* const text = std::getenv("SIO_TEST_SCALE");
  static const double scale = text == nullptr ? 1 : std::strtod(text, nullptr);
  return static_cast<uint64_t>(static_cast<double>(n) * (scale > 0 ? scale : 1));
}

void fail(const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw std::runtime_error(text);
}

int must(int result, const char* what) {
  if (result < 0) fail("%s: %s", what, std::strerror(errno));
  return result;
}

void must(Status status, const char* what) {
  if (!status) fail("%s: %s", what, std::strerror(status.error()));
}

void complain(const std::string& text) {
  ++complaint_count;
  const auto handler = complaint_handler.load();
  if (handler != nullptr) {
    handler(text);
  } else {
    std::fprintf(stderr, "complaint: %s\n", text.c_str());
  }
}

int complaints() { return complaint_count; }

void set_complaint_handler(void (*handler)(const std::string& text)) {
  complaint_handler = handler;
}

bool eventually(const std::function<bool()>& holds, milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!holds()) {
    if (Clock::now() >= end) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

uint64_t sleeps_of_our_threads() {
  uint64_t all = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.rfind("sio-", 0) != 0) continue;
    std::ifstream status(task.path() / "status");
    for (std::string word; status >> word;) {
      if (uint64_t sleeps = 0; word == "voluntary_ctxt_switches:" && status >> sleeps)
        all += sleeps;
    }
  }
  return all;
}

timespec to_timespec(milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<long>(time.count() % 1000) * 1'000'000};
}

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

// ------------------------------------------------------------------------------------- memory

Area::~Area() {
  const auto freed = [this] {
    const Status status = free();
    return status.ok() || status.error() != EBUSY;
  };
  if (eventually(freed)) return;
  const Accounts left = accounts(get());
  char text[128];
  std::snprintf(text, sizeof text,
                "dma_free: EBUSY: reserved %zu, received %zu, posted %zu, in flight %zu",
                left.reserved, left.received, left.posted, left.in_flight);
  complain(text);
}

Accounts accounts(dma_mem_t area) {
  Accounts stat{};
  must(::dma_stat(area, &stat), "dma_stat");
  const size_t sum = stat.free + stat.reserved + stat.received + stat.posted + stat.in_flight;
  if (sum != stat.size) {
    complain("dma_stat: " + std::to_string(sum) + " bytes of " + std::to_string(stat.size));
  }
  if (stat.largest_free > stat.free) complain("dma_stat: largest_free is more than free");
  return stat;
}

Message Message::reserve(const sio::Area& area, size_t size) {
  Buffer block = area.reserve(size);
  if (!block) fail("sio_reserve: %s", std::strerror(errno));
  return Message(std::move(block));
}

Message::~Message() {
  void* const at = data();
  const Status status = release();
  if (status) return;
  char text[128];
  std::snprintf(text, sizeof text, "sio_release of %zu bytes at %p: %s", size(), at,
                std::strerror(status.error()));
  complain(text);
}

// ----------------------------------------------------------------------------------- channels

Channel::~Channel() {
  if (const Status status = close(); !status) {
    complain(std::string("ec_destroy: ") + std::strerror(status.error()));
  }
}

std::optional<event_data_t> Channel::try_next(milliseconds limit) const {
  const auto end = Clock::now() + limit;
  for (;;) {
    if (const auto event = poll()) return event;
    if (errno != EAGAIN) fail("ec_next_event: %s", std::strerror(errno));
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    const Status status = wait(left);
    if (!status && status.error() != ETIMEDOUT && status.error() != EINTR) {
      fail("ec_delay: %s", std::strerror(status.error()));
    }
  }
}

event_data_t Channel::next(milliseconds limit) const {
  const auto event = try_next(limit);
  if (!event) fail("no event within %lld ms", static_cast<long long>(limit.count()));
  return *event;
}

event_data_t Channel::expect(uint32_t kind, milliseconds limit) const {
  const auto event = try_next(limit);
  if (!event) {
    fail("no %s within %lld ms", kind_name(kind), static_cast<long long>(limit.count()));
  }
  if (event->kind != kind) {
    fail("%s (error %d) instead of %s", kind_name(event->kind), event->error, kind_name(kind));
  }
  return *event;
}

event_data_t Channel::skip_to(uint32_t kind, milliseconds limit) const {
  const auto end = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    const auto event = try_next(std::max(left, milliseconds(0)));
    if (!event) fail("no %s in time", kind_name(kind));
    if (event->kind == kind) return *event;
    if (event->kind == EC_HUP) fail("EC_HUP: %s", std::strerror(event->error));
    if (event->kind == EC_RECV) Message dropped(*event);
  }
}

const char* kind_name(uint32_t kind) {
  static constexpr std::pair<uint32_t, const char*> kNames[] = {
      {EC_FD, "EC_FD"},           {EC_USER, "EC_USER"}, {EC_ACCEPT, "EC_ACCEPT"},
      {EC_CONNECT, "EC_CONNECT"}, {EC_RECV, "EC_RECV"}, {EC_READABLE, "EC_READABLE"},
      {EC_SENT, "EC_SENT"},       {EC_EOF, "EC_EOF"},   {EC_WRITABLE, "EC_WRITABLE"},
      {EC_HUP, "EC_HUP"},         {EC_MQ, "EC_MQ"},     {EC_SIGNAL, "EC_SIGNAL"},
      {EC_TIMER, "EC_TIMER"},     {EC_SEM, "EC_SEM"},   {EC_FUTEX, "EC_FUTEX"},
      {EC_PROCESS, "EC_PROCESS"}, {EC_AIO, "EC_AIO"}};
  for (const auto& [number, name] : kNames) {
    if (number == kind) return name;
  }
  return "no known kind";
}

// ------------------------------------------------------------------------------------ sockets

Socket Socket::make(int flags, int family, int type) {
  if (family == AF_UNSPEC) family = Address::self().family();
  return Socket(sio::Socket(family, type | flags));
}

int Socket::close() {
  const Status status = sio::Socket::close();
  if (!status) errno = status.error();
  return status ? 0 : -1;
}

Socket& Socket::set(int option, int value) {
  sio::Socket::set(option, value);
  return *this;
}

Socket& Socket::set_linger(int seconds) {
  sio::Socket::set(SO_LINGER, linger{1, seconds}, SOL_SOCKET);
  return *this;
}

Socket& Socket::join(const sio::Channel& channel, uint32_t events, void* cookie) {
  sio::Socket::join(channel, events, cookie);
  return *this;
}

Socket& Socket::associate(const sio::Area& area, unsigned flags, size_t size) {
  sio::Socket::associate(area, size == 0 ? area.size() : size, flags);
  return *this;
}

Socket& Socket::bind(const Address& address) {
  sio::Socket::bind(address.get(), address.size());
  return *this;
}

Socket& Socket::listen(int backlog) {
  sio::Socket::listen(backlog);
  return *this;
}

Socket& Socket::connect(const Address& address) {
  must(sio::Socket::try_connect(address.get(), address.size()), "sio_connect");
  return *this;
}

Socket Socket::accept(int flags) {
  Socket socket(sio::Socket::accept(flags));
  if (!socket) fail("sio_accept4: %s", std::strerror(EAGAIN));
  return socket;
}

Socket Socket::accept(const sio::Channel& channel, void* cookie, int flags) {
  Socket socket(sio::Socket::accept(channel, cookie, flags));
  if (!socket) fail("sio_accept_ec: %s", std::strerror(EAGAIN));
  return socket;
}

Socket::Received Socket::try_receive(int flags, size_t most) const {
  return sio::Socket::receive(flags, most);
}

int Socket::try_connect(const Address& address) {
  return sio::Socket::try_connect(address.get(), address.size()).error();
}

int Socket::try_send(const void* data, size_t size, int flags) {
  return send(std::span(static_cast<const std::byte*>(data), size), flags).error();
}

int Socket::take_error() { return sio::Socket::take_error().error(); }

void Socket::send(std::string_view text, int flags) {
  must(sio::Socket::send(text, flags), "sio_send");
}

Message Socket::receive() {
  auto [status, buffer] = sio::Socket::receive();
  must(status, "sio_recv");
  return Message(std::move(buffer));
}

void Socket::flush(milliseconds limit) { must(sio::Socket::flush(limit), "sio_flush"); }

}  // namespace sio::test
