// SPDX-License-Identifier: BSD-2-Clause
#include "wire/hello.h"

namespace sio::internal::wire {
namespace {

// Most significant byte first, at `at`.
template <typename T>
void put(std::span<std::byte> bytes, size_t at, T value) noexcept {
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes[at + i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)));
  }
}

template <typename T>
T get(std::span<const std::byte> bytes, size_t at) noexcept {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  return static_cast<T>(value);
}

bool limits_hold(const Hello& hello) noexcept {
  return hello.slot_size >= kMinSlotSize && hello.slot_size <= kMaxSlotSize &&
         hello.slot_size % kSlotAlign == 0 && hello.slots >= kMinSlots &&
         hello.slots <= kMaxSlots && hello.more_slots <= kMaxSlots - hello.slots &&
         hello.control_slots == kControlSlots && hello.max_message >= hello.slot_size;
}

}  // namespace

HelloBytes encode_hello(const Hello& hello) noexcept {
  HelloBytes bytes{};
  put(bytes, 0, kMagic);
  put(bytes, 4, hello.version);
  put(bytes, 6, static_cast<uint16_t>(hello.type));
  put(bytes, 8, hello.features);
  put(bytes, 12, hello.slot_size);
  put(bytes, 16, hello.slots);
  put(bytes, 20, hello.control_slots);
  put(bytes, 24, hello.max_message);
  put(bytes, 32, hello.more_slots);
  return bytes;
}

HelloFault decode_hello(std::span<const std::byte> bytes, Hello& hello) noexcept {
  if (bytes.size() < kHelloSize || get<uint32_t>(bytes, 0) != kMagic) return HelloFault::kForeign;
  hello.version = get<uint16_t>(bytes, 4);
  if (hello.version != kVersion) return HelloFault::kVersion;
  hello.type = static_cast<SocketType>(get<uint16_t>(bytes, 6));
  if (hello.type != SocketType::kSeqpacket && hello.type != SocketType::kStream) {
    return HelloFault::kType;
  }
  hello.features = get<uint32_t>(bytes, 8);
  hello.slot_size = get<uint32_t>(bytes, 12);
  hello.slots = get<uint32_t>(bytes, 16);
  hello.control_slots = get<uint32_t>(bytes, 20);
  hello.max_message = get<uint64_t>(bytes, 24);
  hello.more_slots = get<uint32_t>(bytes, 32);
  return limits_hold(hello) ? HelloFault::kNone : HelloFault::kLimits;
}

RefusalBytes encode_refusal(Refusal reason) noexcept {
  RefusalBytes bytes{};
  put(bytes, 0, kMagic);
  put(bytes, 4, kVersion);
  put(bytes, 6, static_cast<uint16_t>(reason));
  return bytes;
}

bool decode_refusal(std::span<const std::byte> bytes, Refusal& reason) noexcept {
  if (bytes.size() < kRefusalSize || get<uint32_t>(bytes, 0) != kMagic) return false;
  reason = static_cast<Refusal>(get<uint16_t>(bytes, 6));
  return true;
}

}  // namespace sio::internal::wire
