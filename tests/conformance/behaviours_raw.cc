// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours of peers that do not keep to the protocol. What they greet with and what they send
// is named; the tables are below, and docs/protocol.md says what is wrong with each.
//
//   raw-dial    connects with greeting= (good); says "established" or "rejected REASON" (0: the
//               reject says none of ours). With send=: sends that, says "sent", and then
//               "ended" when the connection does, or "stands" if it does not within ms= (10000).
//               With told=: when it hears something. With again=: as many times more, and with
//               then=: sends that at last, each time when it has said "stands" and hears something,
//               and says the same again.
//               With receives=: posts so many. With answers=: completes the connection when it
//               hears something.
//   raw-serve   listens; accepts with greeting=, or rejects with reject= (a number; "noise";
//               "empty"). With send= as above.
#include <netinet/in.h>

#include <functional>

#include "conformance/behaviours.h"
#include "conformance/raw_end.h"
#include "wire/frame.h"
#include "wire/hello.h"

namespace sio::test {
namespace {

namespace wire = internal::wire;
using Frame = RawEnd::Frame;

// ----------------------------------------------------------------------------------- greetings

Bytes good_greeting() {
  wire::Hello hello;
  hello.features = wire::kFeatures;
  hello.slot_size = 8192;
  hello.slots = 64;
  hello.max_message = 8192;
  const auto bytes = wire::encode_hello(hello);
  return {bytes.begin(), bytes.end()};
}

struct Flaw {
  const char* name;
  size_t offset;
  uint32_t value;  // written there, 2 bytes of it before offset 8 and 4 from there on
};
constexpr Flaw kFlaws[] = {
    {"magic", 0, 0x6973},
    {"version", 4, 2},
    {"version-0", 4, 0},
    {"type", 6, 2},
    {"features", 8, 0xffffffff},
    {"features-none", 8, 0},
    {"slot-size-0", 12, 0},
    {"slot-size-small", 12, 192},
    {"slot-size-odd", 12, 8200},
    {"slot-size-large", 12, 65600},
    {"slot-size-huge", 12, 0xffffffc0},
    {"slots-few", 16, 1},
    {"slots-many", 16, 4097},
    {"slots-huge", 16, 0xffffffff},
    {"slots-more", 32, 4033},
    {"slots-more-huge", 32, 0xffffffff},
    {"control-few", 20, 3},
    {"control-many", 20, 0xffffffff},
    {"largest-message", 28, 64},
};

Bytes greeting_named(const std::string& name) {
  Bytes bytes = good_greeting();
  if (name == "good") return bytes;
  if (name == "empty") return {};
  if (name == "two-slots") {  // and takes a mebibyte: as good
    bytes[19] = std::byte{2};
    bytes[29] = std::byte{0x10};
    return bytes;
  }
  if (name == "boundless") {  // takes a tebibyte, it says: as good
    bytes[26] = std::byte{1};
    return bytes;
  }
  if (name == "cut") return {bytes.begin(), bytes.begin() + 16};
  if (name == "noise") return Bytes(56, std::byte{0xa5});
  for (const auto& [flaw, offset, value] : kFlaws) {
    if (name != flaw) continue;
    const size_t size = offset < 8 ? 2 : 4;
    for (size_t i = 0; i < size; ++i) {
      bytes[offset + i] = static_cast<std::byte>(value >> (8 * (size - 1 - i)));
    }
    return bytes;
  }
  fail("no greeting %s", name.c_str());
}

// -------------------------------------------------------------------------------------- frames

uint32_t immediate(wire::Kind kind, uint16_t credits = 0) {
  return wire::encode_immediate({kind, credits});
}

Frame message(size_t size, uint16_t credits = 0) {
  return {immediate(wire::Kind::kMessage, credits), Bytes(size, std::byte{'m'})};
}

Frame control(wire::Kind kind, size_t payload = 0) {
  return {immediate(kind), Bytes(payload, std::byte{'c'})};
}

Frame of_immediate(uint32_t bits) { return {htonl(bits), Bytes(8)}; }
Frame of_immediate_alone(uint32_t bits) { return {htonl(bits), {}}; }

// A record: what it says its length is, the second word, and how many bytes follow.
struct Record {
  uint32_t length;
  uint32_t zero;
  size_t bytes;
};

Frame train(const std::vector<Record>& records, size_t trailing = 0) {
  Frame frame{immediate(wire::Kind::kTrain), {}};
  for (const Record& record : records) {
    const uint32_t words[] = {htonl(record.length), htonl(record.zero)};
    const auto* header = reinterpret_cast<const std::byte*>(words);
    frame.payload.insert(frame.payload.end(), header, header + sizeof words);
    frame.payload.resize(frame.payload.size() + record.bytes);
  }
  frame.payload.resize(frame.payload.size() + trailing);
  return frame;
}

Frame refund(uint16_t credits) {
  return {wire::encode_immediate({wire::Kind::kRefund, 0, 0, 0, credits}), {}};
}

// Where our end of the bulk lane is said to be.
Frame lane(uint32_t number = 1, uint32_t sequence = 0) {
  Frame frame{immediate(wire::Kind::kLane), Bytes(wire::kLaneAddressSize)};
  wire::encode_lane_address({number, sequence}, reinterpret_cast<char*>(frame.payload.data()));
  return frame;
}

struct Garbage {
  const char* name;
  std::function<std::vector<Frame>()> frames;
};

const std::vector<Garbage>& all_garbage() {
  using wire::Kind;
  constexpr Record kGood{8, 0, 8};
  static const std::vector<Garbage> table = {
      {"kind-0", [] { return std::vector{of_immediate(0)}; }},
      {"kind-8", [] { return std::vector{of_immediate_alone(0x80000000)}; }},
      {"kind-15", [] { return std::vector{of_immediate(0xf0000000)}; }},
      {"grant-1", [] { return std::vector{of_immediate(0x10010000)}; }},
      {"grants-with-a-lane",
       [=] {
         return std::vector{lane(), of_immediate(0x3fff0000)};
       }},
      {"lane-empty", [] { return std::vector{control(Kind::kLane)}; }},
      {"lane-short", [] { return std::vector{control(Kind::kLane, 7)}; }},
      {"lane-long", [] { return std::vector{control(Kind::kLane, 9)}; }},
      {"lane-number-large", [] { return std::vector{lane(0x1000000)}; }},
      {"lane-sequence-large", [] { return std::vector{lane(1, 0x1000000)}; }},
      {"lane-twice",
       [] {
         return std::vector{lane(), lane()};
       }},
      {"announcement-without-a-lane",
       [] {
         return std::vector{train({{100'000, 1, 0}})};
       }},
      {"announcement-to-who-takes-none",
       [] {
         return std::vector{lane(), train({{100'000, 1, 0}})};
       }},
      {"announcement-of-all",
       [] {
         return std::vector{lane(), train({{0xffffffff, 1, 0}})};
       }},
      {"announcement-of-nothing",
       [] {
         return std::vector{lane(), train({{0, 1, 0}})};
       }},
      {"all-ones", [] { return std::vector{of_immediate(0xffffffff)}; }},
      {"no-immediate",
       [] {
         return std::vector{Frame{std::nullopt, Bytes(64)}};
       }},
      {"write",
       [] {
         return std::vector{Frame{immediate(Kind::kMessage), {}, true}};
       }},
      {"credits-1", [] { return std::vector{message(8, 1)}; }},
      {"credits-many", [] { return std::vector{message(8, 0xffff)}; }},
      {"credit-payload", [] { return std::vector{control(Kind::kCredit, 8)}; }},
      {"end-payload", [] { return std::vector{control(Kind::kEnd, 8)}; }},
      {"recall-payload", [] { return std::vector{control(Kind::kRecall, 8)}; }},
      {"refund-unasked", [] { return std::vector{control(Kind::kRefund)}; }},
      {"end-twice",
       [] {
         return std::vector{control(Kind::kEnd), control(Kind::kEnd)};
       }},
      {"after-end",
       [] {
         return std::vector{control(Kind::kEnd), message(8)};
       }},
      {"before-message",
       [] {
         return std::vector{of_immediate(0), message(8)};
       }},
      {"train-empty", [] { return std::vector{train({})}; }},
      {"train-third-kind",
       [=] {
         return std::vector{train({kGood, {8, 2, 8}})};
       }},
      {"train-past-end",
       [=] {
         return std::vector{train({kGood, {16, 0, 8}})};
       }},
      {"train-far-past-end",
       [=] {
         return std::vector{train({kGood, {8192, 0, 8}})};
       }},
      {"train-huge",
       [=] {
         return std::vector{train({kGood, {0xffffffff, 0, 8}})};
       }},
      {"train-wraps",
       [=] {
         return std::vector{train({kGood, {0xfffffff9, 0, 8}})};
       }},
      {"train-second-word",
       [=] {
         return std::vector{train({kGood, {8, 1, 8}})};
       }},
      {"train-half-header",
       [=] {
         return std::vector{train({kGood, kGood}, 4)};
       }},
      {"train-no-padding",
       [=] {
         return std::vector{train({kGood, {5, 0, 5}})};
       }},
      {"train-empty-at-the-end",
       [=] {
         return std::vector{train({{8160, 0, 8160}, kGood, {0, 0, 0}})};
       }},
      {"larger-than-a-slot", [] { return std::vector{message(8193)}; }},
      {"much-larger", [] { return std::vector{message(65536)}; }},
  };
  return table;
}

std::vector<Frame> frames_named(const std::string& name, int count) {
  for (const auto& [garbage, frames] : all_garbage()) {
    if (name == garbage) return frames();
  }
  // Fine but for that nobody gave credits for so many.
  // The same for who takes messages, and not for who takes a stream.
  if (name == "empty-message") return {message(0)};
  if (name == "good-train") return {train({{8, 0, 8}})};
  if (name == "good-lane") return {lane()};
  // Fine where the greetings agree to it.
  if (name == "recall") return {control(wire::Kind::kRecall)};
  if (name == "two-messages") return {message(8), message(8)};
  // Fine if they were asked for; then the first one is.
  if (name == "refund") return {refund(2)};
  if (name == "refund-too-much") return {refund(64)};
  if (name == "refund-twice") return {refund(2), refund(0)};
  // What is announced never comes.
  if (name == "cut-short") {
    return {lane(), message(3), train({{50'000, 1, 0}}), control(wire::Kind::kEnd)};
  }
  // What is granted never comes, and then all of the pool is wanted.
  if (name == "hold-and-want-all") return {lane(), train({{50'000, 1, 0}, {1'000'000, 1, 0}})};
  if (name == "hold") return {lane(), train({{50'000, 1, 0}})};
  if (name == "want-all") return {lane(), train({{1'000'000, 1, 0}})};
  if (name == "silent-message") {  // whose completion asks for nobody's attention
    Frame frame = message(8);
    frame.solicited = false;
    return {frame};
  }
  // The sender's device fails with some packets of the message gone.
  if (name == "half-message") {
    Frame frame = message(8192);
    frame.readable = 4096;
    return {frame};
  }
  // Of a message whose announcement has not left yet.
  if (name == "early-grant") return {lane(), of_immediate_alone(0x30010000)};
  if (name == "messages") return std::vector<Frame>(static_cast<size_t>(count), message(64));
  fail("no frames %s", name.c_str());
}

void send_frames(RawEnd& end, const Options& options) {
  std::vector<std::string> names;
  if (options.has("send")) {
    names.assign(static_cast<size_t>(1 + options.number("again", 0)), options.text("send"));
  }
  if (options.has("then")) names.push_back(options.text("then"));
  bool hears = options.has("told");
  for (const std::string& name : names) {
    if (hears) hear();
    hears = true;
    for (const Frame& frame : frames_named(name, options.number("count", 1))) end.post(frame);
    say("sent");
    const bool ended = end.await_end(milliseconds(options.number("ms", 10'000)));
    say("%s %u", ended ? "ended" : "stands", end.acknowledged());
  }
}

// ---------------------------------------------------------------------------------- behaviours

unsigned reason_of(const Bytes& data) {
  wire::Refusal reason{};
  return wire::decode_refusal(data, reason) ? static_cast<unsigned>(reason) : 0;
}

void raw_dial(const Options& options) {
  RawAnswer answer{};
  const Address to = destination(options);
  const auto before_answering = [&] {
    if (options.has("answers")) hear();
  };
  RawEnd end = RawEnd::dial(to, greeting_named(options.text("greeting", "good")), answer,
                            static_cast<uint32_t>(options.number("receives", RawEnd::kReceives)),
                            before_answering);
  if (!answer.established) return say("rejected %u", reason_of(answer.data));
  say("established");
  send_frames(end, options);
  hear();
}

void raw_serve(const Options& options) {
  const Address self = Address::self();
  RawListener listener(self);
  say("listening %d %s", listener.port(), self.text().c_str());
  const std::string reject = options.text("reject");
  if (reject.empty()) {
    RawEnd end = listener.accept(greeting_named(options.text("greeting", "good")));
    send_frames(end, options);
    hear();
    return;
  }
  if (reject == "empty") return listener.reject({});
  if (reject == "noise") return listener.reject(Bytes(100, std::byte{0xa5}));
  const auto bytes = wire::encode_refusal(static_cast<wire::Refusal>(std::stoi(reject)));
  listener.reject({bytes.begin(), bytes.end()});
}

// For the tests: what there is.
void list_garbage(const Options&) {
  for (const Garbage& garbage : all_garbage()) say("%s", garbage.name);
}

}  // namespace

const Behaviours& raw_behaviours() {
  static const Behaviours table = {
      {"raw-dial", raw_dial}, {"raw-serve", raw_serve}, {"list-garbage", list_garbage}};
  return table;
}

}  // namespace sio::test
