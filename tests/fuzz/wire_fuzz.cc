// SPDX-License-Identifier: BSD-2-Clause
//
// What a peer says, as bytes: private data, immediate data, trains, the soft provider's datagrams.
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "provider/provider.h"
#include "provider/soft/datagram_frame.h"
#include "wire/frame.h"
#include "wire/hello.h"

using namespace sio::internal::wire;
namespace soft = sio::internal::provider::soft;

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
  uint32_t told = 0;
  const bool good = check_train(data, size, [&](uint32_t) { return ++told; });
  TrainReader reader(data, size);
  uint32_t announced = 0;
  uint32_t end = 0;
  Record record;
  while (!reader.at_end() && reader.next(record)) {
    must(record.offset >= end + kRecordHeader && record.offset % kRecordAlign == 0);
    end = record.offset;
    announced += record.announced;
    if (record.announced) continue;
    must(record.length <= size - record.offset);
    end += record.length;
  }
  must(good == (size > 0 && reader.at_end()));
  must(told == announced);
  LaneAddress address;
  if (decode_lane_address(data, size, address)) must(address.number <= kMax24);
}

// The header of a datagram of the soft provider; and an answer goes to where the receive says that
// the question came from.
void try_datagram(const uint8_t* bytes, size_t size) {
  soft::DatagramBytes frame{};
  std::memcpy(frame.data(), bytes, std::min(size, frame.size()));
  soft::DatagramHeader header;
  if (soft::decode(frame, header)) must(soft::encode(header) == frame);
  sockaddr_storage from{};
  from.ss_family = bytes[0] % 2 == 0 ? AF_INET : AF_INET6;
  char grh[sio::internal::provider::QueuePair::kGrhBytes];
  soft::write_grh(grh, from, from, size);
  must(soft::read_grh(grh).ss_family == from.ss_family);
  std::memcpy(grh, frame.data(), frame.size());
  soft::read_grh(grh);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 4) return 0;
  try_private_data({reinterpret_cast<const std::byte*>(bytes), size});
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  Immediate immediate;
  if (decode_immediate(word, immediate)) must(encode_immediate(immediate) == word);
  try_datagram(bytes, size);
  // As in a slot: exactly so long, so that a look beyond it is seen.
  const std::vector<char> train(bytes + 4, bytes + size);
  try_train(train.data(), static_cast<uint32_t>(train.size()));
  return 0;
}
