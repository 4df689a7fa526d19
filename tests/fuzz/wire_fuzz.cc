// SPDX-License-Identifier: BSD-2-Clause
//
// What a peer says, as bytes: private data, immediate data, trains.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "wire/frame.h"
#include "wire/hello.h"

using namespace sio::internal::wire;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

void try_private_data(std::span<const std::byte> bytes) {
  Hello hello;
  if (decode_hello(bytes, hello) == HelloFault::kNone) {
    must(hello.slot_size >= kMinSlotSize && hello.slot_size <= kMaxSlotSize);
    must(hello.slots >= kMinSlots && hello.slots <= kMaxSlots);
    Hello again;
    must(decode_hello(encode_hello(hello), again) == HelloFault::kNone);
    must(again.slot_size == hello.slot_size && again.slots == hello.slots);
  }
  Refusal refusal;
  decode_refusal(bytes, refusal);
}

// Each record lies within the train, behind the one before it; and the two readings agree.
void try_train(const char* data, uint32_t size) {
  const uint32_t count = count_records(data, size);
  TrainReader reader(data, size);
  uint32_t records = 0;
  uint32_t end = 0;
  uint32_t offset;
  uint32_t length;
  while (!reader.at_end() && reader.next(offset, length)) {
    must(offset >= end + kRecordHeader && offset % kRecordAlign == 0);
    must(length <= size - offset);
    end = offset + length;
    ++records;
  }
  must(!reader.at_end() ? count == 0 : count == records);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 4) return 0;
  try_private_data({reinterpret_cast<const std::byte*>(bytes), size});
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  Immediate immediate;
  if (decode_immediate(word, immediate)) must(encode_immediate(immediate) == word);
  // As in a slot: exactly so long, so that a look beyond it is seen.
  const std::vector<char> train(bytes + 4, bytes + size);
  try_train(train.data(), static_cast<uint32_t>(train.size()));
  return 0;
}
