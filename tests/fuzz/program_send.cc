// SPDX-License-Identifier: BSD-2-Clause
//
// What a program sends: copies, blocks that it lends, and messages that it has received.
#include <algorithm>
#include <cstring>

#include "must.h"
#include "pattern.h"
#include "program.h"

namespace sio::test {

// The message is on the wire before sio_send returns, perhaps; so it is expected from here on.
bool Program::send(const void* data, size_t size, int flags) {
  now_->talk->outgoing.emplace_back(static_cast<const char*>(data), size);
  return was_sent([&] { return sio_send(now_->socket, data, size, flags); });
}

// Several pieces are one message.
bool Program::send(std::vector<iovec> pieces, int flags) {
  std::string& whole = now_->talk->outgoing.emplace_back();
  for (const iovec& piece : pieces) {
    whole.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  return was_sent([&] { return sio_sendmsg(now_->socket, &message, sizeof message, flags); });
}

bool Program::release(const std::vector<iovec>& pieces) const {
  return std::all_of(pieces.begin(), pieces.end(), [this](const iovec& piece) {
    return sio_release(area_, piece.iov_base, piece.iov_len) == 0;
  });
}

void Program::send_copy(int flags) {
  const uint32_t word = input_.word();
  const size_t size = word % 1200;
  if (now_->socket < 0) return;
  const std::string text = pattern(size, ++pattern_);
  send(text.data(), size, flags | (word >= 60'000 ? MSG_MORE : 0));
}

void Program::send_lent() {
  const uint32_t word = input_.word();
  lend(1 + word % 2500, word);
}

// What is larger than many a peer's slots.
void Program::send_large() {
  const uint32_t word = input_.word();
  const size_t size = 250 + word % (huge_ ? 0x1000 : 0x2000);
  lend(huge_ ? size * 640 : size, word);
}

// One block; or two with something from elsewhere between them.
void Program::lend(size_t size, uint32_t how) {
  const int flags = MSG_DONTWAIT | ((how & 0x8000) != 0 ? SIO_RELEASE : 0);
  const bool gathers = (how & 0x4000) != 0;
  std::vector<iovec> blocks;
  for (; blocks.size() < (gathers ? 2 : 1); size = 1 + size / 3) {
    void* block;
    if (now_->socket < 0 || sio_reserve(area_, &block, size) != 0) break;
    fill(block, size, ++pattern_);
    blocks.push_back({block, size});
  }
  if (blocks.empty()) return;
  const std::shared_ptr<Talk> talk = now_->talk;
  const uint64_t number = talk->last() + 1;
  bool sent;
  if (blocks.size() == 1) {
    sent = send(blocks[0].iov_base, blocks[0].iov_len, flags);
  } else if ((flags & SIO_RELEASE) != 0) {
    sent = send(blocks, flags);
  } else {
    std::string between = pattern(how % 64, ++pattern_);
    sent = send({blocks[0], {between.data(), between.size()}, blocks[1]}, flags);
  }
  if (!sent) {
    MUST(release(blocks));  // still ours
  } else if ((flags & SIO_RELEASE) == 0) {
    MUST(lent_.emplace(blocks[0].iov_base, Lent{blocks, talk, number}).second);
  }
}

// A message that was received, if the socket takes it as lent: not one of another's own area.
void Program::send_on() {
  const uint32_t which = input_.byte();
  if (now_->socket < 0 || held_.empty()) return;
  Held& held = held_[(which & 127) % held_.size()];
  if (held.released || (held.talk != now_->talk && !in_area(held.at()))) return;
  const int flags = which >= 128 ? SIO_RELEASE : 0;
  const char* const at = held.at();
  if (!send(at, held.size(), MSG_DONTWAIT | flags)) return;
  held.released = flags != 0;
  if (!held.released && joined_) held.flights.push_back(at);
  erase_released();
}

bool Program::in_area(const char* p) const {
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0);
  const char* const base = static_cast<const char*>(stat.base);
  return p >= base && p < base + stat.size;
}

}  // namespace sio::test
