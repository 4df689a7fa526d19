// SPDX-License-Identifier: BSD-2-Clause
//
// Requests on sockets (<sio/aio.h>): each ends once, and is told of once.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "aio/control_block.h"
#include "must.h"
#include "pattern.h"
#include "program.h"

namespace sio::test {
namespace {

constexpr size_t kMostRequests = 12;

}  // namespace

void Program::act_on_requests(uint32_t step) {
  switch (step) {
    case 0:
      return request_copy();
    case 1:
      return request_lent(1);
    case 2:
      return request_lent(1 + input_.below(3));
    case 3:
      return request_receive(false);
    case 4:
      return request_receive(true);
    case 5:
      return cancel_request();
    case 6:
      return suspend();
    default:
      return take_ends();
  }
}

// How its end is told.
Program::Request* Program::new_request() {
  const bool full = requests_.size() >= kMostRequests || held_.size() + requests_.size() > 24;
  if (now_->socket < 0 || full) return nullptr;
  auto made = std::make_unique<Request>();
  made->talk = now_->talk;
  made->block.aio_fildes = now_->socket;
  made->block.aio_sigevent.sigev_notify = notices_ >= 0 ? SIGEV_EC : SIGEV_NONE;
  if (notices_ >= 0) made->block.aio_sigevent.sigev_ec = notices_;
  requests_.push_back(std::move(made));
  return requests_.back().get();
}

// As `call` says.
template <typename Call>
int Program::queue(Request& request, Call call) {
  const int result = call(&request.block);
  if (result != 0) requests_.pop_back();
  return result;
}

void Program::request_copy() {
  const uint32_t word = input_.word();
  Request* const request = new_request();
  if (request == nullptr) return;
  const std::string text = pattern(word % 1200, ++pattern_);
  request->sends = text.size();
  request->block.aio_buf = const_cast<char*>(text.data());
  request->block.aio_nbytes = text.size();
  now_->talk->outgoing.push_back(text);
  request->number = now_->talk->last();
  const int flags = word >= 60'000 ? MSG_MORE : 0;
  was_sent([&] { return queue(*request, [&](aio_cb* at) { return aio_send(at, flags); }); });
}

// In one block, or in several.
void Program::request_lent(size_t pieces) {
  const uint32_t word = input_.word();
  Request* const request = new_request();
  if (request == nullptr) return;
  const bool releases = (word & 0x8000) != 0;
  std::string whole;
  for (size_t size = 1 + word % 2500; request->pieces.size() < pieces; size = 1 + size / 3) {
    void* block;
    if (sio_reserve(area_, &block, size) != 0) break;
    fill(block, size, ++pattern_);
    request->pieces.push_back({block, size});
    whole.append(static_cast<const char*>(block), size);
  }
  const std::vector<iovec> blocks = request->pieces;
  if (blocks.empty()) return requests_.pop_back();
  request->sends = whole.size();
  request->releases = releases;
  request->block.aio_buf = blocks[0].iov_base;
  request->block.aio_nbytes = blocks[0].iov_len;
  request->message.msg_iov = request->pieces.data();
  request->message.msg_iovlen = blocks.size();
  request->block.aio_msghdr = &request->message;
  now_->talk->outgoing.push_back(std::move(whole));
  request->number = now_->talk->last();
  const int flags = releases ? SIO_RELEASE : 0;
  const bool sent = was_sent([&] {
    return queue(*request, [&](aio_cb* at) {
      return blocks.size() > 1 ? aio_sendmsg(at, flags) : aio_send(at, flags);
    });
  });
  if (!sent) MUST(release(blocks));
}

void Program::request_receive(bool in_message) {
  const uint32_t most = input_.byte();
  Request* const request = new_request();
  if (request == nullptr) return;
  request->receives = true;
  request->most = in_message || most == 255 ? SIZE_MAX : most * 4;
  request->block.aio_nbytes = request->most;
  request->pieces.resize(1);
  request->message.msg_iov = request->pieces.data();
  request->message.msg_iovlen = 1;
  request->block.aio_msghdr = &request->message;
  request->in_message = in_message;
  queue(*request, [&](aio_cb* at) { return in_message ? aio_recvmsg(at, 0) : aio_recv(at, 0); });
}

void Program::cancel_request() {
  const uint32_t which = input_.byte();
  if (requests_.empty()) return;
  const aio_cb& block = requests_[which % requests_.size()]->block;
  const int result = aio_cb_cancel(const_cast<aio_cb*>(&block));
  MUST(result == 0 || (errno == ENOENT && aio_cb_error(&block) != EINPROGRESS));
}

void Program::suspend() {
  std::vector<const aio_cb*> list;
  for (const auto& request : requests_) list.push_back(&request->block);
  if (list.empty()) return;
  const timespec time{0, 2'000'000};
  if (aio_cb_suspend(list.data(), static_cast<int>(list.size()), &time) != 0) return;
  MUST(std::any_of(list.begin(), list.end(),
                   [](const aio_cb* one) { return aio_cb_error(one) != EINPROGRESS; }));
}

// Those that nobody tells of; and those of another channel.
void Program::take_ends() {
  account();
  event_data_t event;
  if (notices_ >= 0 && notices_ != channel_) {
    while (ec_next_event(notices_, &event) == 0) take_end(event);
  }
  if (notices_ >= 0) return;
  for (size_t i = requests_.size(); i-- > 0;) {
    const aio_cb& block = requests_[i]->block;
    if (aio_cb_error(&block) == EINPROGRESS) continue;
    account();
    finish(i);
  }
}

void Program::take_end(const event_data_t& event) {
  account();
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const auto& one) { return &one->block == event.cookie; });
  MUST(event.kind == EC_AIO && found != requests_.end());
  const aio_cb& block = (*found)->block;
  MUST(event.fd == block.aio_fildes && aio_cb_error(&block) == event.error);
  finish(static_cast<size_t>(found - requests_.begin()));
}

// What requests have received comes before what is received by a call that has just returned; their
// ends may be told of later.
void Program::account() {
  for (const auto& request : requests_) {
    if (!request->receives || request->accounted) continue;
    const internal::ControlBlock control(request->block);  // asking would go on with the work
    if (!control.ended()) continue;
    request->accounted = true;
    if (control.error() != 0) continue;
    const auto n = static_cast<size_t>(control.returned());
    const bool piece = request->in_message;
    const void* const data = !piece                            ? request->block.aio_buf
                             : request->message.msg_iovlen > 0 ? request->pieces[0].iov_base
                                                               : nullptr;
    MUST(n <= request->most);
    if (data != nullptr && (!stream_ || n > 0)) received(request->talk, data, n);
  }
}

void Program::finish(size_t i) {
  const std::unique_ptr<Request> request = std::move(requests_[i]);
  requests_.erase(requests_.begin() + static_cast<ptrdiff_t>(i));
  const int error = aio_cb_error(&request->block);
  const ssize_t n = aio_cb_return(&request->block);
  MUST(error != EINPROGRESS && (error == 0 ? n >= 0 : n == -1 && errno == error));
  MUST(!request->receives || request->accounted);
  if (request->receives) return;
  // It has left, at least.
  MUST(error != 0 || (static_cast<size_t>(n) == request->sends &&
                      (request->sends == 0 || request->talk->left > request->number)));
  if (!request->releases) MUST(release(request->pieces));
}

}  // namespace sio::test
