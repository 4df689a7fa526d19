// SPDX-License-Identifier: BSD-2-Clause
#include "parameters.h"

#include "process.h"

namespace sio_perf {
namespace {

constexpr uint32_t kMagic = 0x73696f70;  // "siop"
constexpr uint16_t kVersion = 4;

// Where the fields are, and how long.
struct Field {
  size_t at, bytes;
};
constexpr Field kMagicField = {0, 4}, kVersionField = {4, 2}, kOpField = {6, 1},
                kEventField = {7, 1}, kSizeField = {8, 4}, kDepthField = {12, 4},
                kIterationsField = {16, 8}, kWarmupField = {24, 8}, kConnectionsField = {32, 4},
                kSlotsField = {36, 4}, kSlotSizeField = {40, 4}, kChannelsField = {44, 2},
                kKindField = {46, 1}, kNoDelayField = {47, 1};

// Of the field of that name.
constexpr uint64_t kPolls = 0, kSleeps = 1, kBlocks = 2;
// Of kKindField, one bit each.
constexpr uint64_t kShared = 1, kLikeSockets = 2;

bool is_crowd(const Parameters& parameters) {
  const auto within = [](uint32_t number, uint32_t most) { return number >= 1 && number <= most; };
  return within(parameters.connections, kMaxConnections) &&
         within(parameters.channels, kMaxChannels) && within(parameters.recv_slots, kMaxDepth) &&
         parameters.slot_size >= 1 && parameters.size <= parameters.slot_size;
}

}  // namespace

void put_number(unsigned char* to, size_t bytes, uint64_t value) {
  for (size_t i = bytes; i-- > 0; value >>= 8) to[i] = static_cast<unsigned char>(value & 0xff);
}

uint64_t get_number(const unsigned char* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | from[i];
  return value;
}

EncodedParameters encode(const Parameters& parameters) {
  EncodedParameters to = {};
  const auto put = [&](Field field, uint64_t value) {
    put_number(to.data() + field.at, field.bytes, value);
  };
  put(kMagicField, kMagic);
  put(kVersionField, kVersion);
  put(kOpField, static_cast<uint64_t>(parameters.op));
  put(kEventField, parameters.block ? kBlocks : parameters.event ? kSleeps : kPolls);
  put(kSizeField, parameters.size);
  put(kDepthField, parameters.tx_depth);
  put(kIterationsField, parameters.iterations);
  put(kWarmupField, parameters.warmup);
  put(kConnectionsField, parameters.connections);
  put(kSlotsField, parameters.recv_slots);
  put(kSlotSizeField, parameters.slot_size);
  put(kChannelsField, parameters.channels);
  put(kKindField, (parameters.shared ? kShared : 0) | (parameters.like_sockets ? kLikeSockets : 0));
  put(kNoDelayField, parameters.no_delay ? 1 : 0);
  return to;
}

Parameters decode(std::span<const unsigned char> bytes, Op most) {
  const auto get = [&](Field field) { return get_number(bytes.data() + field.at, field.bytes); };
  if (bytes.size() < kParameterBytes || get(kMagicField) != kMagic) {
    throw Failure("the client is not sio_perf, or measures something else than this server");
  }
  if (get(kVersionField) != kVersion) {
    throw Failure("the client is another version of sio_perf; use the same at both ends");
  }
  Parameters parameters;
  const uint64_t op = get(kOpField);
  parameters.op = static_cast<Op>(op);
  parameters.event = get(kEventField) != kPolls;
  parameters.block = get(kEventField) == kBlocks;
  parameters.size = static_cast<uint32_t>(get(kSizeField));
  parameters.tx_depth = static_cast<uint32_t>(get(kDepthField));
  parameters.iterations = get(kIterationsField);
  parameters.warmup = get(kWarmupField);
  parameters.connections = static_cast<uint32_t>(get(kConnectionsField));
  parameters.channels = static_cast<uint32_t>(get(kChannelsField));
  parameters.recv_slots = static_cast<uint32_t>(get(kSlotsField));
  parameters.slot_size = static_cast<uint32_t>(get(kSlotSizeField));
  parameters.shared = (get(kKindField) & kShared) != 0;
  parameters.like_sockets = (get(kKindField) & kLikeSockets) != 0;
  parameters.no_delay = get(kNoDelayField) != 0;
  if (op < 1 || op > static_cast<uint64_t>(most) || parameters.size < 1 ||
      parameters.size > kMaxSize || parameters.slot_size > kMaxSize || parameters.tx_depth < 1 ||
      parameters.tx_depth > kMaxDepth || (parameters.op == Op::kCrowd && !is_crowd(parameters))) {
    throw Failure("the client asks for something that this server does not know");
  }
  return parameters;
}

std::string name_of(const Parameters& parameters) {
  const char* const name = parameters.op == Op::kLatency     ? "lat"
                           : parameters.op == Op::kBandwidth ? "bw"
                           : parameters.op == Op::kRate      ? "rate"
                                                             : "crowd";
  const bool event = parameters.event && parameters.op != Op::kCrowd;
  return name + std::string(event ? "-event" : "");
}

}  // namespace sio_perf
