// SPDX-License-Identifier: BSD-2-Clause
//
// A program that uses the library: steps of an input that are calls. It checks what it is promised:
// messages come in order and as they were sent, where they were placed, and none is missing before
// an end; each lent buffer has one outcome; accounts add up; in the end nothing is left.
#pragma once

#include <sio/aio.h>
#include <sio/sio.h>
#include <sys/uio.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "input.h"
#include "talk.h"

namespace sio::test {

class Program {
 public:
  static constexpr uint32_t kSteps = 32;

  // The first bytes of the input say what kind of program it is.
  explicit Program(Input& input);

  // What comes next in the input; its number is below kSteps.
  void act(uint32_t step);
  // Closes everything; nothing may be left.
  void end();

 private:
  struct Connection {
    int socket = -1;
    std::shared_ptr<Talk> talk = std::make_shared<Talk>();
    bool over = false;  // EC_HUP or EC_EOF has come
    bool hup = false;
    bool read_shut = false;
  };

  // A message that was received, or of a stream what is left of those bytes of a slot that were.
  struct Held {
    std::shared_ptr<Incoming> message;
    std::shared_ptr<Talk> talk;  // whose it was
    size_t front = 0;
    size_t end = 0;
    bool released = false;  // by us, or it will be by the library
    // Where it was sent on from: outcomes that are owed.
    std::vector<const void*> flights;

    const char* at() const { return message->at + front; }
    size_t size() const { return end - front; }
  };

  struct Lent {
    std::vector<iovec> pieces;
    std::shared_ptr<Talk> talk;
    uint64_t number;  // there
  };

  struct Request {
    aio_cb block{};
    std::shared_ptr<Talk> talk;
    std::vector<iovec> pieces;
    msghdr message{};
    size_t sends = 0;     // bytes
    uint64_t number = 0;  // of the message
    bool releases = false;
    bool receives = false;
    size_t most = 0;
    bool in_message = false;
    bool accounted = false;  // what it has received
  };

  void open();
  void set_number(int option, int value) const;
  void associate();
  void connect();
  void accept();
  void close();
  void close_one();
  std::shared_ptr<Talk> new_talk() const;
  void send_copy(int flags);
  void send_lent();
  void send_large();
  void lend(size_t size, uint32_t how);
  void send_on();
  bool send(const void* data, size_t size, int flags);
  bool send(std::vector<iovec> pieces, int flags);
  // Whether the last of `outgoing` was, which the call offers.
  template <typename Call>
  bool was_sent(Call call) {
    const std::shared_ptr<Talk> talk = now_->talk;
    talk->offered = true;
    const bool sent = call() == 0;
    talk->offered = false;
    const bool nothing = stream_ && !talk->outgoing.empty() && talk->outgoing.back().empty();
    if (!sent || nothing) talk->outgoing.pop_back();
    return sent;
  }
  bool release(const std::vector<iovec>& pieces) const;
  void receive();
  void take_events(unsigned most);
  void take(const event_data_t& event);
  void take_outcome(const event_data_t& event);
  void take_messages(unsigned most, int flags);
  void receive_some();
  void receive_pieces();
  void at_end();
  void received(const std::shared_ptr<Talk>& talk, const void* data, size_t size);
  void hold(const std::shared_ptr<Talk>& talk, size_t size);
  void release_one();
  void release_some();
  static bool try_release(Held& held);
  void erase_released();
  bool in_area(const char* p) const;
  // program_aio.cc
  void act_on_requests(uint32_t step);
  Request* new_request();
  template <typename Call>
  int queue(Request& request, Call call);
  void request_copy();
  void request_lent(size_t pieces);
  void request_receive(bool in_message);
  void cancel_request();
  void suspend();
  void take_ends();
  void take_end(const event_data_t& event);
  void account();
  void finish(size_t i);

  void flush();
  void shut_down();
  void wait();
  void look() const;
  void add_up() const;
  bool settled();

  Input& input_;
  const uint8_t kind_;
  const uint8_t sizes_;
  const uint8_t more_;
  const uint8_t type_;
  const bool listens_;
  const bool joined_;  // in a channel
  const bool stream_;
  const bool huge_;  // much memory
  const size_t area_bytes_;
  const int flags_;       // of the socket
  const int first_free_;  // descriptor
  dma_mem_t area_ = nullptr;
  std::vector<event_data_t> ring_;
  ec_t channel_ = -1;
  ec_t notices_ = -1;  // where ends of requests are told
  int listener_ = -1;
  std::array<Connection, 2> connections_;
  Connection* now_ = connections_.data();  // that steps are about
  std::map<void*, Lent> lent_;             // by the piece that the event names
  std::vector<Held> held_;
  std::vector<std::unique_ptr<Request>> requests_;  // in the order in which they were queued
  uint8_t pattern_ = 0;
};

}  // namespace sio::test
