// SPDX-License-Identifier: BSD-2-Clause
//
// One socket of a schedule, which sends and receives as chance has it, by calls and by requests,
// and keeps the books: what was lent has exactly one outcome, what was received is what was sent.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "faults/home.h"

namespace sio::test {

class Guest {
 public:
  Guest(Home& home, int type, size_t largest, size_t most_held);
  virtual ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  Home& home() const { return home_; }
  int socket() const { return socket_; }
  bool open() const { return socket_ >= 0; }
  bool over() const { return over_ || socket_ < 0; }

  void act();
  // Whatever has come.
  void take();
  void release_all();

  void close();
  // Nothing is owed any more.
  bool settled() const { return lent_.empty() && receives_.empty(); }

  // Of the home's.
  void told(const event_data_t& event);
  void told(Request& request);

 protected:
  static constexpr size_t kLeast = 24;  // bytes of a message

  // Fills in the next one, and then: it was taken. The bytes of a whole message.
  virtual void put(void* to, size_t size) = 0;
  virtual void accepted() = 0;
  // Where that goes; null: a connection.
  virtual const sockaddr_storage* destination() const { return nullptr; }
  // One has come, in its place. `from`: null if that was not asked.
  virtual bool check(const void* data, size_t size, const sockaddr* from) = 0;

  uint64_t below(uint64_t n) { return home_.below(n); }
  std::string trace() const { return home_.trace(); }
  bool is_stream() const { return type_ == SOCK_STREAM; }
  // `lends`: it has its home's area.
  void replace(int socket, bool lends) {
    close();
    socket_ = socket;
    lends_ = lends;
  }
  size_t size_of_one();

 private:
  using Pieces = std::vector<iovec>;

  size_t most() { return is_stream() && below(2) == 0 ? 1 + below(3000) : SIZE_MAX; }
  void send_copy();
  void send_lent(bool release);
  void send_pieces();
  void request_send();
  void request_receive();
  // A message of a few bytes from elsewhere, which come first, and some blocks: those.
  Pieces gather(char* elsewhere, Pieces& blocks);
  void lent(const Pieces& pieces);
  void release(const Pieces& pieces, const char* why);
  void received(void* data, size_t size, const sockaddr* from);
  void serve_ended_receives();
  void release_one();
  void release_some();

  Home& home_;
  const int type_;
  const size_t largest_;
  const size_t most_held_;
  int socket_ = -1;
  bool lends_ = false;            // else what it sends is copied, and nobody is told
  std::map<void*, Pieces> lent_;  // by the first piece
  std::deque<Request*> receives_;
  size_t sends_ = 0;  // requests
  std::deque<std::pair<void*, size_t>> held_;
  bool over_ = false;
};

}  // namespace sio::test
