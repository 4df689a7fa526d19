// SPDX-License-Identifier: BSD-2-Clause
#include "peer.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "one_thread.h"
#include "times.h"

namespace sio::test {

using internal::wire::Hello;
using internal::wire::HelloFault;

namespace {

std::vector<std::byte> as_bytes(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string greeting(Hello hello) {
  if (puppet().stream) hello.type = internal::wire::SocketType::kStream;
  const internal::wire::HelloBytes bytes = internal::wire::encode_hello(hello);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string good_greeting(uint32_t slot_size, uint32_t slots) {
  Hello hello;
  hello.features = internal::wire::kFeatures;
  hello.slot_size = slot_size;
  hello.slots = slots;
  hello.max_message = slot_size;
  return greeting(hello);
}

}  // namespace

uint32_t immediate(uint32_t kind, uint32_t credits, uint32_t grants) {
  return htonl(kind << 28 | (grants & 0xfffu) << 16 | (credits >> 5 & 7) << 13 | (credits & 31));
}

void append_number(std::string& to, uint32_t number) {
  const uint32_t bytes = htonl(number);
  to.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
}

void append_record(std::string& to, size_t length, uint8_t seed) {
  append_number(to, static_cast<uint32_t>(length));
  append_number(to, 0);
  to += pattern(length, seed);
  to.append(length == 0 ? 8 : (8 - length % 8) % 8, '\0');
}

void Peer::act(uint32_t step) {
  passed_ = std::chrono::nanoseconds(0);
  switch (step) {
    case 0:
      return resolve();
    case 1: {
      const uint32_t slot_size = 256u << input_.below(9);
      return greet(good_greeting(slot_size, 2 + input_.byte()));
    }
    case 2:
      return greet(input_.bytes());
    case 3:
      return refuse();
    case 4:
      return fail_connection();
    case 5:
      return disconnect();
    case 6:
      return message();
    case 7:
      return train();
    case 8:
      return control(3);
    case 9:
      return control(4);
    case 10:
      return raw_frame();
    case 11:
      return fail_receive(pair());
    case 12:
      return complete_sends(pair());
    case 13:
      return fail_send(pair());
    case 14:
      for (PuppetWork* work : puppet().works) work->flush();
      return;
    case 15:
      passed_ = some_time(input_);
      return pass_time(passed_);
    case 28:
      return control(6);
    case 29:
      return refund();
    case 31:
      chosen_ = input_.byte();
      return;
    default:
      return act_on_lane(step - 16);
  }
}

// ---------------------------------------------------------------------------------- connections

PuppetPair* Peer::pair() const {
  const std::vector<PuppetPair*>& all = puppet().pairs;
  return all.empty() ? nullptr : all[all.size() - 1 - chosen_ % all.size()];
}

void Peer::resolve() {
  if (PuppetEndpoint* endpoint = puppet().youngest(State::kResolving)) {
    endpoint->state = State::kResolved;
    puppet().tell({Kind::kResolved, endpoint->serial(), nullptr, 0, {}});
  }
}

// A request, or the answer to ours; and at the end that accepts the news that the connection
// stands.
void Peer::greet(const std::string& private_data) {
  if (PuppetEndpoint* endpoint = puppet().youngest(State::kConnecting)) {
    return answer(*endpoint, private_data);
  }
  if (PuppetEndpoint* endpoint = puppet().youngest(State::kAnswered)) {
    endpoint->state = State::kStanding;
    return puppet().tell({Kind::kEstablished, endpoint->serial(), nullptr, 0, {}});
  }
  if (PuppetEndpoint* listener = puppet().youngest(State::kListening)) {
    auto incoming = std::make_unique<PuppetEndpoint>(State::kAsking);
    const std::vector<std::byte> data = as_bytes(private_data);
    internal::wire::decode_hello(data, incoming->peer);
    puppet().tell({Kind::kRequest, listener->serial(), std::move(incoming), 0, data});
  }
}

// One with room for messages larger than a slot.
void Peer::greet_largely() {
  Hello hello;
  const uint32_t how = input_.byte();
  hello.features = how >> 4 & internal::wire::kFeatures;
  hello.slot_size = 256u << (how & 7);
  hello.slots = 2 + input_.byte();
  hello.max_message = uint64_t{hello.slot_size} << (how >> 4);
  hello.more_slots = (how & 8) != 0 ? input_.word() % 5000 : 0;
  greet(greeting(hello));
}

void Peer::answer(PuppetEndpoint& endpoint, const std::string& private_data) {
  const std::vector<std::byte> data = as_bytes(private_data);
  Hello hello;
  if (internal::wire::decode_hello(data, hello) == HelloFault::kNone && endpoint.pair != nullptr) {
    endpoint.pair->ledger().peer_says(hello);
  }
  endpoint.state = State::kStanding;
  puppet().tell({Kind::kEstablished, endpoint.serial(), nullptr, 0, data});
}

void Peer::refuse() {
  const std::string reason = input_.bytes();
  PuppetEndpoint* endpoint = puppet().youngest(State::kConnecting);
  if (endpoint == nullptr) endpoint = puppet().youngest(State::kAnswered);
  if (endpoint == nullptr) return;
  endpoint->state = State::kOver;
  puppet().tell({Kind::kRefused, endpoint->serial(), nullptr, ECONNREFUSED, as_bytes(reason)});
}

// The youngest that an event of the network can be about.
PuppetEndpoint* Peer::live_endpoint() const {
  for (auto it = puppet().endpoints.rbegin(); it != puppet().endpoints.rend(); ++it) {
    const State state = (*it)->state;
    if (state != State::kIdle && state != State::kOver && state != State::kListening) return *it;
  }
  return nullptr;
}

void Peer::fail_connection() {
  const uint32_t which = input_.below(8);
  PuppetEndpoint* endpoint = live_endpoint();
  const bool gone = which >= 6;  // the device
  if (gone && endpoint == nullptr) endpoint = puppet().youngest(State::kListening);
  if (endpoint == nullptr) return;
  const int error = which % 2 == 0 ? ETIMEDOUT : EHOSTUNREACH;
  endpoint->state = State::kOver;
  puppet().tell({gone ? Kind::kDeviceGone : Kind::kFailed,
                 endpoint->serial(),
                 nullptr,
                 gone ? ENODEV : error,
                 {}});
}

void Peer::disconnect() {
  PuppetEndpoint* endpoint = live_endpoint();
  if (endpoint == nullptr) return;
  const bool early = endpoint->state == State::kResolving || endpoint->state == State::kResolved;
  endpoint->state = State::kOver;
  if (early) {
    return puppet().tell({Kind::kFailed, endpoint->serial(), nullptr, EHOSTUNREACH, {}});
  }
  puppet().tell({Kind::kDisconnected, endpoint->serial(), nullptr, 0, {}});
}

bool Peer::leave() {
  bool any = false;
  for (PuppetWork* work : puppet().works) {
    any |= !work->failed();
    work->go_wrong();
    any |= work->flush();
  }
  while (live_endpoint() != nullptr) {
    disconnect();
    any = true;
  }
  return any;
}

// --------------------------------------------------------------------------------------- frames

// If there is a receive for it; else the device would hold it back. Of those that are shared a peer
// that does not cheat takes no more than it has credits.
void Peer::deliver(const PuppetWork::Frame& frame, bool cheats) {
  PuppetPair* to = pair();
  if (to == nullptr || (!cheats && !to->has_credit(frame.imm_data)) || !to->has_receive()) return;
  if (to->may_be_asked_yet(frame.imm_data)) return;
  if (frame.payload.size() > to->receive_length()) return to->fail_receive(IBV_WC_LOC_LEN_ERR);
  to->receive(frame);
}

void Peer::message() {
  PuppetWork::Frame frame;
  frame.payload = pattern(input_.word() % 2200, ++pattern_);
  frame.imm_data = immediate(1, input_.byte());
  deliver(frame);
}

// Records, and perhaps one bit of them wrong.
void Peer::train() {
  PuppetWork::Frame frame;
  const uint32_t records = input_.below(12);
  for (uint32_t i = 0; i < records; ++i) {
    append_record(frame.payload, input_.byte(), ++pattern_);
  }
  frame.imm_data = immediate(2, input_.byte());
  const uint32_t wrong = input_.byte();
  if (wrong != 0 && !frame.payload.empty()) {
    frame.payload[input_.word() % frame.payload.size()] ^= static_cast<char>(1u << wrong % 8);
  }
  deliver(frame);
}

void Peer::control(uint32_t kind) {
  PuppetWork::Frame frame;
  frame.imm_data = immediate(kind, input_.byte());
  deliver(frame);
}

// Perhaps of more than it has.
void Peer::refund() {
  PuppetWork::Frame frame;
  const uint32_t bits = input_.word();
  frame.imm_data = htonl(7u << 28 | (bits & 0xe000u) | (bits & 63u));
  deliver(frame);
}

void Peer::raw_frame() {
  PuppetWork::Frame frame;
  const uint32_t flags = input_.byte();
  frame.imm_data = htonl(static_cast<uint32_t>(input_.word()) << 16 | input_.word());
  frame.payload = input_.bytes();
  if ((flags & 1) != 0) frame.flags = 0;
  frame.solicited = (flags & 2) == 0;
  if ((flags & 12) == 12) {
    frame.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
    frame.flags = IBV_WC_WITH_IMM;
    frame.payload.clear();
  }
  deliver(frame, true);
}

ibv_wc_status Peer::bad_status() {
  return static_cast<ibv_wc_status>(1 + input_.below(IBV_WC_GENERAL_ERR));
}

void Peer::fail_receive(PuppetWork* work) {
  const ibv_wc_status status = bad_status();
  if (work == pair() && work != nullptr && !pair()->has_credit(0)) return;
  if (work != nullptr && work->has_receive()) work->fail_receive(status);
}

void Peer::fail_send(PuppetWork* work) {
  const ibv_wc_status status = bad_status();
  if (work != nullptr && work->has_send()) work->fail_send(status);
}

void Peer::complete_sends(PuppetWork* work) {
  const uint32_t n = 1 + input_.below(32);
  if (work != nullptr) work->complete_sends(n);
}

}  // namespace sio::test
