// SPDX-License-Identifier: BSD-2-Clause
#include "faults/guest.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sio::test {
namespace {

constexpr size_t kMostReceives = 6;  // requests of one socket

}  // namespace

Guest::Guest(Home& home, int type, size_t largest, size_t most_held)
    : home_(home), type_(type), largest_(largest), most_held_(most_held) {
  if (!home.stands()) return;
  socket_ = sio_socket(AF_INET, type | SOCK_NONBLOCK, 0);
  const linger lingering{1, below(6) == 0 ? 1 : 0};
  sio_setsockopt(socket_, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering);
  home.enter(socket_, this);
  lends_ = socket_ >= 0 && home.associate(socket_);
}

Guest::~Guest() { EXPECT_TRUE(settled() && held_.empty() && sends_ == 0) << trace(); }

void Guest::act() {
  if (socket_ < 0) return;
  switch (below(20)) {
    case 0:
    case 1:
    case 2:
      return send_copy();
    case 3:
    case 4:
      return send_lent(false);
    case 5:
      return send_lent(true);
    case 6:
      return send_pieces();
    case 7:
      return release_one();
    case 8: {
      timespec zero{};
      sio_flush(socket_, &zero);
      return;
    }
    case 9:
    case 10:
      return request_send();
    case 11:
      return request_receive();
    case 12:
      return home_.cancel_one();
    default:
      return take();
  }
}

void Guest::take() {
  home_.take_events();
  // What a request was given comes first.
  if (home_.delivers() || socket_ < 0 || !receives_.empty()) return;
  const void* data;
  int n;
  sockaddr_storage from{};
  auto* const address = reinterpret_cast<sockaddr*>(&from);
  while (held_.size() < most_held_ &&
         (n = sio_recvfrom(socket_, &data, most(), 0, address, sizeof from)) >= 0) {
    if (data == nullptr) {
      over_ = true;
      return;
    }
    received(const_cast<void*>(data), static_cast<size_t>(n), address);
  }
  if (held_.size() >= most_held_) return release_one();
  if (errno != EAGAIN) over_ = true;
}

void Guest::close() {
  if (socket_ < 0) return;
  EXPECT_EQ(sio_close(std::exchange(socket_, -1)), 0) << trace();
  if (!home_.alone()) return;
  for (const auto& [first, pieces] : lent_) release(pieces, "the socket has gone");
  lent_.clear();
}

// ---------------------------------------------------------------------------------------- sending

size_t Guest::size_of_one() { return kLeast + below(largest_ - kLeast); }

void Guest::send_copy() {
  char text[400];
  const size_t size = kLeast + below(sizeof text - kLeast);
  put(text, size);
  const sockaddr_storage* const to = destination();
  const int flags = MSG_DONTWAIT | (below(4) == 0 ? MSG_MORE : 0);
  const auto* const address = reinterpret_cast<const sockaddr*>(to);
  const socklen_t length = to != nullptr ? sizeof(sockaddr_in) : 0;
  if (sio_sendto(socket_, text, size, flags, address, length) == 0) accepted();
}

void Guest::send_lent(bool release_it) {
  const size_t size = size_of_one();
  void* block;
  if (sio_reserve(home_.area(), &block, size) != 0) return;
  put(block, size);
  const sockaddr_storage* const to = destination();
  const int flags = MSG_DONTWAIT | (release_it ? SIO_RELEASE : 0);
  const auto* const address = reinterpret_cast<const sockaddr*>(to);
  const socklen_t length = to != nullptr ? sizeof(sockaddr_in) : 0;
  if (sio_sendto(socket_, block, size, flags, address, length) != 0) {
    return release({{block, size}}, "not queued, so still ours");
  }
  accepted();
  if (!release_it) lent({{block, size}});
}

Guest::Pieces Guest::gather(char* elsewhere, Pieces& blocks) {
  size_t total = kLeast;
  for (uint64_t left = below(4); left > 0; --left) {
    void* block;
    const size_t size = 1 + below(std::min<size_t>(largest_, 6000) / 4);
    if (sio_reserve(home_.area(), &block, size) != 0) continue;
    blocks.push_back({block, size});
    total += size;
  }
  std::vector<char> whole(total);
  put(whole.data(), total);
  std::memcpy(elsewhere, whole.data(), kLeast);
  Pieces all = {{elsewhere, kLeast}};
  size_t at = kLeast;
  for (const iovec& one : blocks) {
    std::memcpy(one.iov_base, whole.data() + at, one.iov_len);
    at += one.iov_len;
    all.push_back(one);
  }
  return all;
}

void Guest::send_pieces() {
  char elsewhere[kLeast];
  Pieces blocks;
  Pieces all = gather(elsewhere, blocks);
  msghdr message{};
  message.msg_iov = all.data();
  message.msg_iovlen = all.size();
  if (const sockaddr_storage* const to = destination()) {
    message.msg_name = const_cast<sockaddr_storage*>(to);
    message.msg_namelen = sizeof(sockaddr_in);
  }
  if (sio_sendmsg(socket_, &message, sizeof message, MSG_DONTWAIT) != 0) {
    return release(blocks, "not queued, so still ours");
  }
  accepted();
  if (!blocks.empty()) lent(blocks);
}

void Guest::lent(const Pieces& pieces) {
  if (!lends_) return release(pieces, "copied");
  lent_[pieces.front().iov_base] = pieces;
}

// In pieces, of which some are lent or none; or in one.
void Guest::request_send() {
  Request& request = home_.add_request(*this, socket_);
  request.copied.resize(kLeast);
  request.all = gather(request.copied.data(), request.pieces);
  const sockaddr_storage* const to = destination();
  int result;
  if (to == nullptr && request.pieces.empty()) {
    request.block.aio_buf = request.copied.data();
    request.block.aio_nbytes = kLeast;
    result = aio_send(&request.block, 0);
  } else {
    request.message.msg_iov = request.all.data();
    request.message.msg_iovlen = request.all.size();
    if (to != nullptr) {
      request.to = *to;
      request.message.msg_name = &request.to;
      request.message.msg_namelen = sizeof(sockaddr_in);
    }
    request.block.aio_msghdr = &request.message;
    result = aio_sendmsg(&request.block, 0);
  }
  if (result != 0) {
    release(request.pieces, "not queued, so still ours");
    return home_.drop(request);
  }
  ++sends_;
  accepted();
}

void Guest::release(const Pieces& pieces, const char* why) {
  for (const auto& [data, size] : pieces) {
    EXPECT_EQ(sio_release(home_.area(), data, size), 0) << why << trace();
  }
}

// -------------------------------------------------------------------------------------- receiving

void Guest::request_receive() {
  if (receives_.size() == kMostReceives) return;
  Request& request = home_.add_request(*this, socket_);
  request.receives = true;
  request.block.aio_nbytes = most();
  if (aio_recv(&request.block, 0) != 0) {
    EXPECT_TRUE(!home_.delivers() || errno == EINVAL) << trace();
    return home_.drop(request);
  }
  receives_.push_back(&request);
}

// They end in their order, but perhaps in two channels.
void Guest::serve_ended_receives() {
  while (!receives_.empty() && receives_.front()->ended) {
    Request& first = *receives_.front();
    receives_.pop_front();
    const event_data_t& outcome = first.outcome;
    EXPECT_TRUE(outcome.error == 0 || outcome.data.buf == nullptr) << trace();
    if (outcome.error == 0 && outcome.data.buf != nullptr) {
      received(outcome.data.buf, outcome.data.len, nullptr);
    } else if (outcome.error != ECANCELED) {
      over_ = true;
    }
    home_.drop(first);
  }
}

void Guest::told(Request& request) {
  EXPECT_FALSE(request.ended) << "told twice" << trace();
  request.ended = true;
  if (request.receives) return serve_ended_receives();
  release(request.pieces, "the request has ended");
  --sends_;
  home_.drop(request);
}

void Guest::told(const event_data_t& event) {
  if (event.kind == EC_RECV) received(event.data.buf, event.data.len, event.data.from);
  if (event.kind == EC_SENT) {
    const auto found = lent_.find(event.data.buf);
    ASSERT_NE(found, lent_.end()) << "an outcome of nothing, or twice" << trace();
    EXPECT_EQ(event.data.len, found->second.front().iov_len) << trace();
    release(found->second, "told of");
    lent_.erase(found);
  }
  over_ |= event.kind == EC_EOF || event.kind == EC_HUP;
}

void Guest::received(void* data, size_t size, const sockaddr* from) {
  EXPECT_TRUE(check(data, size, from)) << trace();
  held_.emplace_back(data, size);
  while (held_.size() > most_held_) release_one();
}

void Guest::release_all() {
  while (!held_.empty()) release_one();
}

void Guest::release_one() {
  if (held_.empty()) return;
  if (is_stream()) return release_some();
  std::swap(held_[below(held_.size())], held_.back());
  const auto [data, size] = held_.back();
  held_.pop_back();
  EXPECT_EQ(sio_release(nullptr, data, size), 0) << trace();
}

// From the front, as bytes go.
void Guest::release_some() {
  auto& [data, size] = held_.front();
  const size_t n = 1 + below(size);
  EXPECT_EQ(sio_release(nullptr, data, n), 0) << trace();
  data = static_cast<char*>(data) + n;
  size -= n;
  if (size == 0) held_.pop_front();
}

}  // namespace sio::test
