// SPDX-License-Identifier: BSD-2-Clause
#include "cat/proof.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>

namespace sio_cat {
namespace {

constexpr size_t kCount = 8;                                  // bytes of the number of bytes
constexpr size_t kEnd = kCount + sizeof(XXH128_canonical_t);  // of all

char last(Kind kind) { return static_cast<char>(kind); }

}  // namespace

bool Proof::operator==(const Proof& other) const {
  return bytes == other.bytes && XXH128_isEqual(hash, other.hash) != 0;
}

std::string Proof::text() const {
  char line[80];
  std::snprintf(line, sizeof line, "%" PRIu64 " bytes, xxh128 %016" PRIx64 "%016" PRIx64, bytes,
                hash.high64, hash.low64);
  return line;
}

Checksum::Checksum() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_.get());
}

void Checksum::add(std::span<const std::byte> data) {
  XXH3_128bits_update(state_.get(), data.data(), data.size());
  bytes_ += data.size();
}

Proof Checksum::proof() const { return {bytes_, XXH3_128bits_digest(state_.get())}; }

std::string hello() { return std::string("sio_cat xxh128 1") + last(Kind::kHello); }

// Most significant byte first, as is the canonical form of the hash.
std::string end_of(const Proof& proof) {
  std::string message;
  for (size_t i = 0; i < kCount; ++i) {
    message += static_cast<char>(proof.bytes >> 8 * (kCount - 1 - i));
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, proof.hash);
  message.append(reinterpret_cast<const char*>(&canonical), sizeof canonical);
  return message + last(Kind::kEnd);
}

std::string verdict(bool right) { return {last(right ? Kind::kRight : Kind::kWrong)}; }

bool read_end(std::span<const std::byte> content, Proof& proof) {
  if (content.size() != kEnd) return false;
  proof.bytes = 0;
  for (const std::byte one : content.first(kCount)) {
    proof.bytes = proof.bytes << 8 | std::to_integer<uint64_t>(one);
  }
  XXH128_canonical_t canonical;
  std::memcpy(&canonical, content.data() + kCount, sizeof canonical);
  proof.hash = XXH128_hashFromCanonical(&canonical);
  return true;
}

}  // namespace sio_cat
