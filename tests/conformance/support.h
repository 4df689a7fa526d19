// SPDX-License-Identifier: BSD-2-Clause
//
// The interface as the tests and their peers use it: owners of what its calls make, addresses,
// time limits. What goes wrong is thrown; what goes wrong in a destructor is complained of.
#pragma once

#include <sio/sio.h>
#include <sio/sio.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sio::test {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What must happen happens within this time, on the slowest machine.
inline constexpr milliseconds kSoon{15'000};
// Who waits so long for what must not happen would have seen it, mostly.
inline constexpr milliseconds kQuiet{30};

// Counts that the environment can raise and lower (SIO_TEST_SCALE, 1 unless set).
uint64_t scaled(uint64_t n);

// ----------------------------------------------------------------------------------- failures

[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

// -1: throws what was done and why it failed.
int must(int result, const char* what);
void must(Status status, const char* what);

// For destructors. A program counts complaints (a peer's exit status), a test fails by them.
void complain(const std::string& text);
int complaints();
void set_complaint_handler(void (*handler)(const std::string& text));

// Polls until it holds. False: it did not in that time.
bool eventually(const std::function<bool()>& holds, milliseconds limit = kSoon);

// How often the library's own threads have gone to sleep.
uint64_t sleeps_of_our_threads();

timespec to_timespec(milliseconds time);
milliseconds since(Clock::time_point start);

// ---------------------------------------------------------------------------------- addresses

class Address {
 public:
  Address() = default;
  Address(const std::string& text, uint16_t port);
  // What `name` (sio_getsockname, sio_getpeername) says of a socket.
  Address(int fd, int (*name)(int, sockaddr*, socklen_t*));

  explicit Address(const sockaddr* address);

  // SIO_RXE_SELF, else SIO_TEST_ADDRESS.
  static Address self(uint16_t port = 0);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const;
  const sockaddr_storage& storage() const { return storage_; }
  int family() const { return storage_.ss_family; }
  uint16_t port() const;
  std::string text() const;   // without the port
  std::string whole() const;  // with it
  bool operator==(const Address& other) const { return whole() == other.whole(); }

 private:
  sockaddr_storage storage_{};
};

bool have_address();
// The library has taken its soft provider, which needs no device and is reached by any address.
bool on_soft();
int machines();  // 1, or 2: the peer is on another one

// Why nothing can be sent to groups from this address; NULL: it can.
const char* no_groups(const Address& from);

// The interface that has this address; "" if none. Its global IPv6 address; "" if none.
std::string interface_of(const std::string& address);
std::string global_ipv6_of(const std::string& interface);
// Address::self(), or an IPv6 address of the same device; empty: it has none.
Address self_of(int family);

// ------------------------------------------------------------------------------------- memory

// These are the owners of <sio/sio.hpp>, so that what goes through them tests those too. What is
// added: complaints, time limits, and failures that are thrown.

class Area : public sio::Area {
 public:
  Area() = default;
  explicit Area(size_t bytes, unsigned flags = 0) : sio::Area(bytes, flags) {}
  Area(dma_mem_t handle, size_t bytes) : sio::Area(own(handle, bytes)) {}
  Area(Area&& other) noexcept = default;
  Area& operator=(Area&& other) noexcept {
    Area(std::move(other)).swap(*this);
    return *this;
  }
  // All that was taken comes back soon (messages in flight), else a complaint.
  ~Area();

  dma_mem_t get() const { return handle(); }
  size_t bytes() const { return size(); }
};

// The accounts; complains when they do not add up.
using Accounts = struct dma_stat;
Accounts accounts(dma_mem_t area);

// Memory that is the program's: a reserved block or a received message. Released at the end.
class Message : public Buffer {
 public:
  Message() = default;
  Message(void* data, size_t size) : Buffer(data, size) {}
  explicit Message(Buffer&& buffer) : Buffer(std::move(buffer)) {}
  explicit Message(const event_data_t& received) : Buffer(buffer_of(received)) {}
  Message(Message&& other) noexcept = default;
  Message& operator=(Message&& other) noexcept {
    Message(std::move(other)).swap(*this);
    return *this;
  }
  ~Message();

  // Throws when the area has none.
  static Message reserve(const sio::Area& area, size_t size);

  char* data() const { return reinterpret_cast<char*>(Buffer::data()); }
  std::string_view view() const { return text(); }
};

// ----------------------------------------------------------------------------------- channels

class Channel : public sio::Channel {
 public:
  explicit Channel(unsigned flags = 0) : sio::Channel(flags) {}
  Channel(unsigned flags, size_t entries) : ring_(entries) {  // on a ring of our own
    sio::Channel(flags, ring_).swap(*this);
  }
  Channel(Channel&& other) noexcept = default;
  ~Channel();

  ec_t get() const { return handle(); }

  // The next event; none in that time: throws, or returns nothing.
  event_data_t next(milliseconds limit = kSoon) const;
  std::optional<event_data_t> try_next(milliseconds limit) const;
  // The next one, which is of this kind.
  event_data_t expect(uint32_t kind, milliseconds limit = kSoon) const;
  // The next of this kind; throws at EC_HUP, passes over others.
  event_data_t skip_to(uint32_t kind, milliseconds limit = kSoon) const;
  // What is there now; none: nothing, or an empty span.
  std::optional<event_data_t> poll() const { return sio::Channel::next(); }
  std::span<event_data_t> poll(std::span<event_data_t> room) const {
    return sio::Channel::next(room);
  }

 private:
  std::vector<event_data_t> ring_;
};

const char* kind_name(uint32_t kind);

// ------------------------------------------------------------------------------------ sockets

class Socket : public sio::Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : sio::Socket(own(fd)) {}
  explicit Socket(sio::Socket&& socket) : sio::Socket(std::move(socket)) {}

  // Family: unspecified is Address::self()'s.
  static Socket make(int flags = 0, int family = AF_UNSPEC, int type = SOCK_SEQPACKET);

  int get() const { return descriptor(); }
  int close();  // as sio_close

  Socket& set(int option, int value);  // of SOL_SIO
  Socket& set_linger(int seconds);
  Socket& join(const sio::Channel& channel, uint32_t events = EC_DELIVER, void* cookie = nullptr);
  Socket& associate(const sio::Area& area, unsigned flags = 0, size_t size = 0);  // 0: all of it
  Socket& bind(const Address& address);
  Socket& listen(int backlog = 16);
  Socket& connect(const Address& address);  // throws for EINPROGRESS too
  Socket accept(int flags = 0);             // throws when none waits
  Socket accept(const sio::Channel& channel, void* cookie = nullptr, int flags = 0);

  // 0, or the errno.
  int try_connect(const Address& address);
  int try_send(const void* data, size_t size, int flags = 0);
  // As of sio::Socket; none waits: empty.
  Received try_receive(int flags = 0, size_t most = SIZE_MAX) const;
  Status try_flush(milliseconds limit) const { return sio::Socket::flush(limit); }
  Socket try_accept(int flags = 0) { return Socket(sio::Socket::accept(flags)); }
  int take_error();  // SO_ERROR

  // Blocking.
  using sio::Socket::send;
  void send(std::string_view text, int flags = 0);
  Message receive();  // empty: the end

  template <typename T>
  T get_option(int option) const {  // of SOL_SIO
    return sio::Socket::get<T>(option);
  }
  Address name() const { return Address(get(), sio_getsockname); }
  Address peer_name() const { return Address(get(), sio_getpeername); }
  void flush(milliseconds limit = kSoon);
};

}  // namespace sio::test
