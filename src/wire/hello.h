// SPDX-License-Identifier: BSD-2-Clause
//
// The handshake: what both ends say of themselves in the connection manager's private data
// (request and reply), and why a request is refused (reject). Network byte order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sio::internal::wire {

inline constexpr uint32_t kMagic = 0x73696f00;  // "sio\0"
inline constexpr uint16_t kVersion = 1;

// Fixed by the protocol, the same at both ends.
inline constexpr uint32_t kControlSlots = 4;
inline constexpr uint32_t kMinSlotSize = 256;
inline constexpr uint32_t kMaxSlotSize = 65536;
inline constexpr uint32_t kSlotAlign = 64;
inline constexpr uint32_t kMinSlots = 2;
inline constexpr uint32_t kMaxSlots = 4096;  // with those that may come later

// Of Hello::features.
inline constexpr uint32_t kRecalls = 1;  // either may recall credits (frame.h)
inline constexpr uint32_t kFeatures = kRecalls;

enum class SocketType : uint16_t { kSeqpacket = 1, kStream = 2 };

// offset 0 magic:4, 4 version:2, 6 type:2, 8 features:4, 12 slot_size:4, 16 slots:4,
// 20 control_slots:4, 24 max_message:8, 32 more_slots:4
struct Hello {
  uint16_t version = kVersion;
  SocketType type = SocketType::kSeqpacket;
  uint32_t features = 0;   // bits offered in the request, agreed in the reply
  uint32_t slot_size = 0;  // bytes of payload that one of my receives takes
  uint32_t slots = 0;      // receives that I have posted for data: your first credits
  uint32_t control_slots = kControlSlots;  // and besides these for control frames
  uint64_t max_message = 0;                // largest message that I take, bytes
  uint32_t more_slots = 0;                 // credits that may come beside the first ones
};
inline constexpr size_t kHelloSize = 36;
using HelloBytes = std::array<std::byte, kHelloSize>;

enum class HelloFault : uint8_t { kNone, kForeign, kVersion, kType, kLimits };

HelloBytes encode_hello(const Hello& hello) noexcept;

// `bytes` may be longer (connection managers pad). On kVersion `hello.version` is set.
HelloFault decode_hello(std::span<const std::byte> bytes, Hello& hello) noexcept;

// Why a request was refused: magic:4, version:2, reason:2.
enum class Refusal : uint16_t {
  kVersion = 1,  // version says which one I speak
  kType = 2,
  kLimits = 3,   // slot size, slots or another figure out of range
  kBacklog = 4,  // too many wait already
  kClosed = 5,   // the listener was closed
  kForeign = 6,  // not a libsio request
};
inline constexpr size_t kRefusalSize = 8;
using RefusalBytes = std::array<std::byte, kRefusalSize>;

RefusalBytes encode_refusal(Refusal reason) noexcept;

// False: no refusal of ours (the connection manager itself said no).
bool decode_refusal(std::span<const std::byte> bytes, Refusal& reason) noexcept;

}  // namespace sio::internal::wire
