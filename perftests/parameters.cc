// SPDX-License-Identifier: BSD-2-Clause
#include "parameters.h"

#include "process.h"

namespace sio_perf {
namespace {

constexpr uint32_t kMagic = 0x73696f70;  // "siop"
constexpr uint16_t kVersion = 1;

// Where the fields are, and how long.
struct Field {
  size_t at, bytes;
};
constexpr Field kMagicField = {0, 4}, kVersionField = {4, 2}, kOpField = {6, 1},
                kEventField = {7, 1}, kSizeField = {8, 4}, kDepthField = {12, 4},
                kIterationsField = {16, 8}, kWarmupField = {24, 8};

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
  put(kEventField, parameters.event ? 1 : 0);
  put(kSizeField, parameters.size);
  put(kDepthField, parameters.tx_depth);
  put(kIterationsField, parameters.iterations);
  put(kWarmupField, parameters.warmup);
  return to;
}

Parameters decode(std::span<const unsigned char> bytes) {
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
  parameters.event = get(kEventField) != 0;
  parameters.size = static_cast<uint32_t>(get(kSizeField));
  parameters.tx_depth = static_cast<uint32_t>(get(kDepthField));
  parameters.iterations = get(kIterationsField);
  parameters.warmup = get(kWarmupField);
  if (op < 1 || op > 3 || parameters.size < 1 || parameters.size > kMaxSize ||
      parameters.tx_depth < 1 || parameters.tx_depth > kMaxDepth) {
    throw Failure("the client asks for something that this server does not know");
  }
  return parameters;
}

std::string name_of(const Parameters& parameters) {
  const char* const name = parameters.op == Op::kLatency     ? "lat"
                           : parameters.op == Op::kBandwidth ? "bw"
                                                             : "rate";
  return name + std::string(parameters.event ? "-event" : "");
}

}  // namespace sio_perf
