// SPDX-License-Identifier: BSD-2-Clause
//
// A program with a datagram socket: steps of an input that are calls. It checks what it is
// promised: what it gets is what came, in order and with its sender; what was dropped is counted;
// each lent buffer has one outcome; in the end nothing is left.
#pragma once

#include <sio/sio.h>
#include <sys/uio.h>

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "datagram_ledger.h"
#include "input.h"

namespace sio::test {

class DatagramProgram {
 public:
  static constexpr uint32_t kSteps = 16;

  // The first bytes of the input say what kind of program it is.
  explicit DatagramProgram(Input& input);

  // What comes next in the input; its number is below kSteps.
  void act(uint32_t step);
  // Closes everything; nothing may be left.
  void end();

 private:
  using Wish = DatagramLedger::Wish;

  struct Lent {
    std::vector<iovec> pieces;
    std::shared_ptr<DatagramLedger> ledger;
    uint64_t number;
  };
  struct Held {
    void* at;
    std::string bytes;
  };

  void open();
  void set_options() const;
  void bind();
  void close();
  bool settled();
  InetAddress some_address();
  void send_copy(int flags);
  void send_pieces();
  void send_lent();
  void send_oddly();
  bool send(const InetAddress& to, const std::vector<iovec>& pieces, int flags, uint64_t& number);
  void receive();
  void take_events(unsigned most);
  void take(const event_data_t& event);
  void take_messages(unsigned most, int flags);
  void hold(void* data, size_t size, const sockaddr* from);
  void release_one();
  bool release(const std::vector<iovec>& pieces) const;
  void connect();
  void join();
  void leave();
  void flush();
  void look() const;
  void look_at_counts(bool all_taken) const;

  Input& input_;
  const uint8_t kind_;
  const uint8_t sizes_;
  const uint8_t more_;
  const int family_;
  const bool joined_;     // in a channel
  const bool deliver_;    // and gets its messages there
  const int first_free_;  // descriptor
  dma_mem_t area_ = nullptr;
  std::vector<event_data_t> ring_;
  ec_t channel_ = -1;
  int socket_ = -1;
  std::shared_ptr<DatagramLedger> ledger_;
  std::map<void*, Lent> lent_;  // by the piece that the event names
  std::vector<Held> held_;
  InetAddress peer_;  // of the last sio_connect
  Wish connected_ = Wish::kNo;
  std::deque<bool> connects_;        // whose end is to come, and whether each was undone meanwhile
  std::map<uint32_t, Wish> groups_;  // by their number
  uint8_t pattern_ = 0;
  bool hup_ = false;
};

}  // namespace sio::test
