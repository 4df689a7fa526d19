// SPDX-License-Identifier: BSD-2-Clause
#include "faults/home.h"

#include <gtest/gtest.h>

#include <iterator>

#include "conformance/support.h"
#include "faults/guest.h"

namespace sio::test {
namespace {

constexpr size_t kSlotBytes = size_t{68} * 8192;

}  // namespace

Home::Home(Random& random, uint64_t seed, Way way, bool shared)
    : random_(random),
      seed_(seed),
      way_(way),
      shared_(shared ? kSlotBytes + (size_t{70'000} << below(3)) : 0) {
  if (dma_alloc(&area_, kAreaBytes, 0) != 0) return;
  notices_ = ec_create(0);
  if (!alone()) channel_ = ec_create(0);
}

Home::~Home() { EXPECT_TRUE(ended_) << trace(); }

void Home::enter(int socket, void* cookie) const {
  if (!alone()) ec_add_fd(channel_, socket, delivers() ? EC_DELIVER : EPOLLIN, cookie);
}

bool Home::associate(int socket) {
  if (shared_ > 0) return dma_assoc(socket, area_, shared_, DMA_SHARED) == 0;
  const size_t receive = below(2) == 0 ? 0 : kSlotBytes + (size_t{40'000} << below(3));
  return dma_assoc(socket, area_, receive, receive == 0 ? DMA_SEND : 0) == 0;
}

void Home::take_events() {
  if (!alone()) take_events(channel_);
  take_events(notices_);
}

void Home::take_events(ec_t channel) {
  event_data_t event;
  while (ec_next_event(channel, &event) == 0) {
    EXPECT_GE(event.error, 0) << trace();
    if (event.kind != EC_AIO) {
      if (event.cookie != nullptr) static_cast<Guest*>(event.cookie)->told(event);
      continue;
    }
    const auto found = requests_.find(static_cast<const aio_cb*>(event.cookie));
    ASSERT_NE(found, requests_.end()) << "an outcome of no request, or twice" << trace();
    EXPECT_EQ(aio_cb_error(&found->second->block), event.error) << trace();
    found->second->outcome = event;
    found->second->guest->told(*found->second);
  }
}

Request& Home::add_request(Guest& guest, int socket) {
  auto request = std::make_unique<Request>();
  Request& it = *request;
  it.guest = &guest;
  it.block.aio_fildes = socket;
  it.block.aio_sigevent.sigev_notify = SIGEV_EC;
  it.block.aio_sigevent.sigev_ec = !alone() && below(2) == 0 ? channel_ : notices_;
  requests_[&it.block] = std::move(request);
  return it;
}

void Home::cancel_one() {
  if (requests_.empty()) return;
  const auto which = std::next(requests_.begin(), static_cast<ptrdiff_t>(below(requests_.size())));
  aio_cb& block = which->second->block;
  if (aio_cb_cancel(&block) != 0) {
    EXPECT_EQ(errno, ENOENT) << trace();
  }
}

void Home::check_accounts() const {
  struct dma_stat stat {};
  EXPECT_EQ(dma_stat(area_, &stat), 0) << trace();
  EXPECT_EQ(stat.free + stat.reserved + stat.received + stat.posted + stat.in_flight, stat.size)
      << trace();
}

void Home::end() {
  ended_ = true;
  for (const ec_t channel : {channel_, notices_}) {
    if (channel >= 0) {
      EXPECT_EQ(ec_destroy(channel), 0) << trace();
    }
  }
  if (area_ == nullptr) return;
  EXPECT_TRUE(eventually([&] { return dma_free(area_, kAreaBytes) == 0; })) << trace();
}

}  // namespace sio::test
