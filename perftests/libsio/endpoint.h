// SPDX-License-Identifier: BSD-2-Clause
//
// One end of a connection of the library's, with its channel and the memory it sends from.
#pragma once

#include <sio/sio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libsio/memory.h"
#include "parameters.h"
#include "peer.h"

namespace sio_perf {

// A descriptor and the library's call that ends it.
template <int (*End)(int)>
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { End(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};
using SioSocket = Descriptor<sio_close>;
using SioChannel = Descriptor<ec_destroy>;

class SioEndpoint {
 public:
  static constexpr size_t kEvents = 64;  // taken at a time
  using Events = std::array<event_data_t, kEvents>;

  // The socket delivers to the channel; nothing has been sent yet.
  SioEndpoint(int channel, int socket) : channel_(channel), socket_(socket) {}
  ~SioEndpoint();
  SioEndpoint(const SioEndpoint&) = delete;
  SioEndpoint& operator=(const SioEndpoint&) = delete;

  // For the run itself: sleeps for events or spins, sends messages of that size, from the
  // program's own memory if they are small, else from `blocks` blocks of an area.
  void prepare(const Parameters& parameters, const SioMemory& memory, size_t blocks);

  // Where the next message is to be written; takes events while all blocks are in flight.
  unsigned char* source() { return blocks_.empty() ? plain_.data() : free_block(); }
  // Takes events while there is no room.
  void send(const void* from, size_t length) {
    if (sio_send(socket_, from, length, MSG_DONTWAIT) != 0) send_on(from, length);
  }

  // The next message, the caller's to release; false at the end of the connection.
  bool receive(event_data_t& message) {
    if (!ended_ && ec_next_event(channel_, &message) == 0) {
      if (message.kind == EC_RECV) return true;
      handle(message);
    }
    return receive_within(message, 0);
  }
  // The same as long as `timeout_ms` says, 0 being for ever.
  bool receive_within(event_data_t& message, int timeout_ms);

  // At least one event, or none at the end of the connection.
  std::span<event_data_t> take_events(Events& events);
  void handle(const event_data_t& event);  // any but EC_RECV

  static void release(const event_data_t& message) {
    if (sio_release(message.data.mem, message.data.buf, message.data.len) != 0) not_released();
  }

 private:
  [[noreturn]] static void not_released();
  unsigned char* free_block();
  void send_on(const void* from, size_t length);
  void wait();
  void drain();  // waits for a while until all blocks are the program's again
  void take_and_handle();

  int channel_, socket_;
  bool event_ = false, ended_ = false, writable_ = false;
  dma_mem_t area_ = nullptr;
  size_t block_size_ = 0;
  std::vector<void*> blocks_, free_;
  std::vector<unsigned char> plain_;
};

}  // namespace sio_perf
