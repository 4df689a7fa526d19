// SPDX-License-Identifier: BSD-2-Clause
#include "allocations/both_ends.h"

#include <cerrno>
#include <cstring>

#include "conformance/support.h"

namespace sio::test {
namespace {

constexpr size_t kAreaBytes = size_t{8} << 20;
constexpr uint64_t kBurst = 256;  // messages before the other end has its turn
constexpr size_t kPiece = 16;     // bytes of a message that is gathered, before and after the block

sockaddr_storage self() {
  sockaddr_storage storage{};
  const Address address = Address::self();
  std::memcpy(&storage, address.get(), address.size());
  return storage;
}

}  // namespace

const char* name_of(Give give) {
  static constexpr const char* kNames[] = {"Copied", "Lent", "Released", "Gathered", "More"};
  return kNames[static_cast<size_t>(give)];
}

const char* name_of(Take take) { return take == Take::kDelivered ? "Delivered" : "Received"; }

BothEnds::BothEnds(Give give, Take take, size_t message_bytes, size_t bulk_bytes)
    : give_(give),
      take_(take),
      bytes_(message_bytes),
      area_(std::max(kAreaBytes, 64 * message_bytes)),
      far_area_(bulk_bytes + (size_t{1} << 20)) {
  connect(take, bulk_bytes);
  const size_t blocks = std::min(kBlocks, area_.size() / 2 / std::max<size_t>(message_bytes, 64));
  for (size_t i = 0; i < blocks; ++i) {
    blocks_.push_back(area_.reserve(message_bytes));
    if (!blocks_.back()) fail("no room for what is lent");
    free_.push_back(blocks_.back().data());
  }
  warm_up();
}

// As many outcomes are owed as can be (1024, or one for each block), once: the list of them doubles
// until then.
void BothEnds::warm_up() {
  const bool owes = give_ == Give::kLent || give_ == Give::kGathered;
  const size_t most = std::min<size_t>(1000, blocks_.size());
  const auto grown = [&] {
    send_until_full();
    take_messages();
    return lent() >= most;
  };
  if (owes && !eventually(grown)) fail("not as many are owed as can be");
  exchange(0);
  if (!near_.flush(kSoon)) fail("not all is acknowledged");
  const auto credited = [this] {
    take_messages();
    take_outcomes();
    return near_.info().credits > 16;
  };
  if (!eventually(credited)) fail("no credits come back");
}

// The sockets go in the background, and their memory after them.
BothEnds::~BothEnds() {
  const auto all_taken = [this] {
    take_messages();
    take_outcomes();
    return lent() == 0;
  };
  if (!eventually(all_taken)) complain("blocks are missing");
  near_ = {};
  far_ = {};
  blocks_.clear();
  const auto all_gone = [this] {
    return near_channel_.close().ok() && far_channel_.close().ok() && area_.free().ok() &&
           far_area_.free().ok();
  };
  if (!eventually(all_gone)) complain("something is left of both ends");
}

void BothEnds::connect(Take take, size_t bulk_bytes) {
  const uint32_t events = take == Take::kDelivered ? EC_DELIVER : uint32_t{EPOLLIN};
  sio::Socket listener(Address::self().family());
  if (bulk_bytes > 0) listener.associate(far_area_);
  listener.join(far_channel_, events).bind(self()).listen();
  near_ = sio::Socket(Address::self().family(), SOCK_SEQPACKET | SOCK_NONBLOCK);
  near_.join(near_channel_).associate(area_, DMA_SEND).connect(listener.name());
  far_ = listener.accept(SOCK_NONBLOCK);
  const auto connected = [this] { return near_channel_.next().has_value() && near_.ready() != 0; };
  if (!eventually(connected)) fail("not connected");
}

// ------------------------------------------------------------------------------------- sending

int BothEnds::send() noexcept {
  const int error = send_as(give_);
  if (error == 0) ++sent_;
  return error;
}

int BothEnds::send_as(Give give) noexcept {
  if (give == Give::kCopied || give == Give::kMore) {
    std::memcpy(copied_.data(), &sent_, sizeof sent_);
    const int flags = give == Give::kMore && sent_ % 16 != 15 ? MSG_MORE : 0;
    return near_.send(std::span(copied_).first(bytes_), flags).error();
  }
  if (give == Give::kReleased) {
    sio::Buffer block = area_.reserve(bytes_);
    if (!block) return errno == ENOBUFS ? EAGAIN : errno;
    std::memcpy(block.data(), &sent_, sizeof sent_);
    return near_.send(std::move(block)).error();
  }
  if (free_.empty()) return EAGAIN;
  std::byte* const block = free_.back();
  int error = 0;
  if (give == Give::kGathered) {
    error = send_gathered(block);
  } else {
    std::memcpy(block, &sent_, sizeof sent_);
    error = near_.send(std::span(block, bytes_)).error();
  }
  if (error == 0) free_.pop_back();
  return error;
}

int BothEnds::send_gathered(std::byte* block) noexcept {
  std::memcpy(copied_.data(), &sent_, sizeof sent_);
  const iovec pieces[] = {
      {copied_.data(), kPiece}, {block, bytes_ - 2 * kPiece}, {copied_.data() + kPiece, kPiece}};
  return near_.send(pieces).error();
}

uint64_t BothEnds::send_until_full() noexcept {
  for (uint64_t n = 0;; ++n) {
    const int error = send();
    if (error == 0) continue;
    wrong_ += error != EAGAIN;
    return n;
  }
}

uint64_t BothEnds::take_outcomes() noexcept {
  uint64_t n = 0;
  std::array<event_data_t, 32> room;
  for (;;) {
    const auto events = near_channel_.next(room);
    if (events.empty()) return n;
    for (const event_data_t& event : events) {
      if (event.kind == EC_SENT) {
        take_block(event.data.buf);
        wrong_ += event.error != 0;
        ++n;
      } else if (event.kind != EC_WRITABLE) {
        ++wrong_;
      }
    }
  }
}

// ----------------------------------------------------------------------------------- receiving

void BothEnds::look_at(const std::byte* message, size_t size) noexcept {
  wrong_ += size != bytes_ || std::memcmp(message, &taken_, sizeof taken_) != 0;
  ++taken_;
}

uint64_t BothEnds::take_messages() noexcept {
  return take_ == Take::kDelivered ? take_delivered() : take_received();
}

uint64_t BothEnds::take_delivered() noexcept {
  uint64_t n = 0;
  std::array<event_data_t, 32> room;
  for (;;) {
    const auto events = far_channel_.next(room);
    if (events.empty()) return n;
    for (const event_data_t& event : events) {
      if (event.kind != EC_RECV) continue;
      const sio::Buffer message = buffer_of(event);
      look_at(message.data(), message.size());
      ++n;
    }
  }
}

uint64_t BothEnds::take_received() noexcept {
  while (far_channel_.next()) {
  }
  uint64_t n = 0;
  for (;; ++n) {
    const auto [status, message] = far_.receive();
    if (!status) return n;
    look_at(message.data(), message.size());
  }
}

void BothEnds::exchange(uint64_t n) {
  const uint64_t sent_before = sent_;
  const uint64_t all = sent_ + n;
  const auto end = Clock::now() + kSoon * 8;
  for (uint64_t turn = 0; taken_ != all || lent() != 0; ++turn) {
    for (uint64_t i = 0; i < kBurst && sent_ - sent_before < n; ++i) {
      const int error = send();
      if (error == EAGAIN) break;
      if (error != 0) fail("sio_send: %s", std::strerror(error));
    }
    take_messages();
    take_outcomes();
    if (turn % 1024 == 0 && Clock::now() > end) fail("it takes too long");
  }
}

}  // namespace sio::test
