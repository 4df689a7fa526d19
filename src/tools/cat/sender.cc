// SPDX-License-Identifier: BSD-2-Clause
#include "cat/sender.h"

#include <unistd.h>

#include <algorithm>

#include "cat/failure.h"

namespace sio_cat {

Sender::Sender(const Options& options, const Memory& memory, const sio::Channel& channel,
               const sio::Socket& socket)
    : options_(options), socket_(socket), input_(channel, STDIN_FILENO, EPOLLIN) {
  for (size_t i = 0; i < kBlocks; ++i) {
    free_.push_back(memory.sends().reserve(kBlockBytes));
    if (!free_.back()) throw Failure("sio_reserve", errno);
  }
  const size_t kind = options.checksum ? 1 : 0;
  most_ = std::min<uint64_t>(kBlockBytes, socket.get<uint64_t>(SIO_MAX_MESSAGE)) - kind;
  if (options.checksum) words_.push_back(hello());
  if (options.no_input) finish_input();
}

bool Sender::advance() {
  if (length_ == 0 && !fill()) return false;
  return send();
}

// False: there is nothing to send, or no block free.
bool Sender::fill() {
  if (free_.empty()) return false;
  if (words_.empty()) return read_input();
  filled_ = std::move(free_.back());
  free_.pop_back();
  length_ = words_.front().copy(reinterpret_cast<char*>(filled_.data()), kBlockBytes);
  words_.pop_front();
  return true;
}

bool Sender::read_input() {
  sio::Buffer& block = free_.back();
  ssize_t n;
  do {
    if (input_ended_ || !input_.ready()) return false;
    n = ::read(STDIN_FILENO, block.data(), most_);
  } while (n < 0 && (errno == EAGAIN || errno == EINTR));
  if (n < 0) throw Failure("reading the input", errno);
  if (n == 0) {
    finish_input();
    return !words_.empty() && fill();
  }
  filled_ = std::move(block);
  free_.pop_back();
  length_ = static_cast<size_t>(n);
  if (!options_.checksum) return true;
  checksum_.add(filled_.bytes().first(length_));
  filled_.data()[length_++] = static_cast<std::byte>(Kind::kData);
  return true;
}

void Sender::finish_input() {
  input_ended_ = true;
  if (options_.checksum) words_.push_back(end_of(checksum_.proof()));
}

void Sender::end_input() {
  if (!input_ended_) finish_input();
}

void Sender::send_verdict(bool right) { words_.push_back(verdict(right)); }

bool Sender::send() {
  if (blocked_) return false;
  const sio::Status status = socket_.send(filled_.bytes().first(length_), MSG_DONTWAIT);
  if (status.again()) {
    blocked_ = true;
    return false;
  }
  if (status.error() == EPIPE) throw Lost("the peer has gone before the data had ended");
  if (!status) throw Lost("sending", status.error());
  filled_.give_up();  // until EC_SENT
  length_ = 0;
  ++in_flight_;
  return true;
}

void Sender::take_back(const event_data_t& event) {
  free_.emplace_back(event.data.buf, kBlockBytes, event.data.mem);
  --in_flight_;
}

void Sender::on_sent(const event_data_t& event) {
  take_back(event);
  if (event.error != 0) throw Lost("sending", event.error);
  const size_t length = event.data.len;
  if (!options_.checksum) {
    acknowledged_ += length;
  } else if (static_cast<const std::byte*>(event.data.buf)[length - 1] ==
             static_cast<std::byte>(Kind::kData)) {
    acknowledged_ += length - 1;
  }
}

bool Sender::all_acknowledged() const {
  return input_ended_ && length_ == 0 && words_.empty() && in_flight_ == 0;
}

// A peer that is gone needs no end, unless it got data: it can not know that these were all.
void Sender::shut_down() {
  is_shut_down_ = true;
  const sio::Status status = socket_.shutdown(SHUT_WR);
  if (status || (status.error() == ENOTCONN && acknowledged_ == 0)) return;
  if (status.error() == ENOTCONN) throw Lost("the peer has gone before the data had ended");
  throw Failure("sio_shutdown", status.error());
}

}  // namespace sio_cat
