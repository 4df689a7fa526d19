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

timespec to_timespec(milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<long>(time.count() % 1000) * 1'000'000};
}

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

// ------------------------------------------------------------------------------------- memory

Area::Area(size_t bytes, unsigned flags) : bytes_(bytes) {
  must(dma_alloc(&handle_, bytes, flags), "dma_alloc");
}

Area::Area(Area&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), bytes_(other.bytes_) {}

Area& Area::operator=(Area&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Area::~Area() {
  if (handle_ == nullptr) return;
  const auto freed = [this] { return dma_free(handle_, bytes_) == 0 || errno != EBUSY; };
  if (eventually(freed)) return;
  const Accounts left = accounts(handle_);
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

Message Message::reserve(const Area& area, size_t size) {
  void* data = nullptr;
  must(sio_reserve(area.get(), &data, size), "sio_reserve");
  return {data, size};
}

Message::~Message() {
  if (data_ == nullptr || sio_release(nullptr, data_, size_) == 0) return;
  char text[128];
  std::snprintf(text, sizeof text, "sio_release of %zu bytes at %p: %s", size_, data_,
                std::strerror(errno));
  complain(text);
}

// ----------------------------------------------------------------------------------- channels

Channel::Channel(unsigned flags) : ec_(must(ec_create(flags), "ec_create")) {}

Channel::Channel(unsigned flags, size_t entries)
    : ring_(entries), ec_(must(ec_create_ring(flags, ring_.data(), entries), "ec_create_ring")) {}

Channel::~Channel() {
  if (ec_ >= 0 && ec_destroy(ec_) != 0) {
    complain(std::string("ec_destroy: ") + std::strerror(errno));
  }
}

std::optional<event_data_t> Channel::try_next(milliseconds limit) const {
  const auto end = Clock::now() + limit;
  event_data_t event;
  while (ec_next_event(ec_, &event) != 0) {
    if (errno != EAGAIN) fail("ec_next_event: %s", std::strerror(errno));
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    timespec wait = to_timespec(left);
    if (ec_delay(ec_, &wait) != 0 && errno != ETIMEDOUT && errno != EINTR) {
      fail("ec_delay: %s", std::strerror(errno));
    }
  }
  return event;
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
  return Socket(must(sio_socket(family, type | flags, 0), "sio_socket"));
}

Socket& Socket::set(int option, int value) {
  must(sio_setsockopt(fd_, SOL_SIO, option, &value, sizeof value), "sio_setsockopt");
  return *this;
}

Socket& Socket::set_linger(int seconds) {
  const linger value{1, seconds};
  must(sio_setsockopt(fd_, SOL_SOCKET, SO_LINGER, &value, sizeof value), "SO_LINGER");
  return *this;
}

Socket& Socket::join(const Channel& channel, uint32_t events, void* cookie) {
  must(ec_add_fd(channel.get(), fd_, events, cookie), "ec_add_fd");
  return *this;
}

Socket& Socket::associate(const Area& area, unsigned flags, size_t size) {
  must(dma_assoc(fd_, area.get(), size == 0 ? area.bytes() : size, flags), "dma_assoc");
  return *this;
}

Socket& Socket::bind(const Address& address) {
  must(sio_bind(fd_, address.get(), address.size()), "sio_bind");
  return *this;
}

Socket& Socket::listen(int backlog) {
  must(sio_listen(fd_, backlog), "sio_listen");
  return *this;
}

Socket& Socket::connect(const Address& address) {
  must(sio_connect(fd_, address.get(), address.size()), "sio_connect");
  return *this;
}

Socket Socket::accept(int flags) {
  return Socket(must(sio_accept4(fd_, nullptr, nullptr, flags), "sio_accept4"));
}

int Socket::try_connect(const Address& address) {
  return sio_connect(fd_, address.get(), address.size()) == 0 ? 0 : errno;
}

int Socket::try_send(const void* data, size_t size, int flags) {
  return sio_send(fd_, data, size, flags) == 0 ? 0 : errno;
}

int Socket::take_error() {
  int error = 0;
  socklen_t size = sizeof error;
  must(sio_getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size), "SO_ERROR");
  return error;
}

void Socket::send(std::string_view text, int flags) {
  must(sio_send(fd_, text.data(), text.size(), flags), "sio_send");
}

Message Socket::receive() {
  void* data = nullptr;
  const int size = must(sio_recv(fd_, &data, SIZE_MAX, 0), "sio_recv");
  return data == nullptr ? Message() : Message(data, static_cast<size_t>(size));
}

void Socket::flush(milliseconds limit) {
  timespec wait = to_timespec(limit);
  must(sio_flush(fd_, &wait), "sio_flush");
}

}  // namespace sio::test
