// SPDX-License-Identifier: BSD-2-Clause
//
// What is said of each frame in its immediate data, and trains of small messages.
#include "wire/frame.h"

#include <array>

#include "loop.h"
#include "socket/train.h"

namespace sio::micro {
namespace {

using internal::StagingBuffer;
using internal::Train;
namespace wire = internal::wire;

constexpr uint32_t kMessage = 64;

// A train of messages of 64 bytes, as many as there is room for.
class Yard {
 public:
  Yard() { train_.set_limits(internal::kTrainBytes, internal::kMaxGather, true); }

  void fill() {
    train_.begin(&buffer_);
    while (train_.has_room(kMessage, true)) {
      train_.add_copy(message_.data(), kMessage);
      train_.add_record();
    }
  }
  // One message; and when none has room beside it, that is what leaves.
  void add() {
    if (train_.empty()) train_.begin(&buffer_);
    train_.add_copy(message_.data(), kMessage);
    if (!train_.has_room(kMessage, true)) leave();
  }
  void leave() {
    benchmark::DoNotOptimize(train_.load());
    train_.depart();
  }
  const char* bytes() const { return memory_.data(); }
  uint32_t size() { return train_.load().bytes; }

 private:
  std::array<char, internal::kStagingBytes> memory_{};
  std::array<char, kMessage> message_{};
  StagingBuffer buffer_{memory_.data(), 1};
  Train train_;
};

void immediate(Loop& loop) {
  uint16_t credits = 0;
  wire::Immediate imm{};
  loop.run([&] {
    uint32_t bits = wire::encode_immediate({wire::Kind::kTrain, ++credits});
    benchmark::DoNotOptimize(bits);
    if (wire::decode_immediate(bits, imm)) benchmark::DoNotOptimize(imm);
  });
}

void encode_in_train(Loop& loop) {
  Yard yard;
  loop.run([&] { yard.add(); });
}

void check_train(Loop& loop) {
  Yard yard;
  yard.fill();
  const uint32_t size = yard.size();
  loop.run([&] {
    bool good = wire::check_train(yard.bytes(), size, [](uint32_t) { return false; });
    benchmark::DoNotOptimize(good);
  });
}

void decode_train(Loop& loop) {
  Yard yard;
  yard.fill();
  const uint32_t size = yard.size();
  loop.run([&] {
    wire::TrainReader reader(yard.bytes(), size);
    for (wire::Record record; !reader.at_end() && reader.next(record);) {
      benchmark::DoNotOptimize(record);
    }
  });
}

constexpr Operation kOperations[] = {{"frame/immediate-data", immediate},
                                     {"frame/message-into-train", encode_in_train},
                                     {"frame/check-train-of-113", check_train},
                                     {"frame/read-train-of-113", decode_train}};

}  // namespace

std::span<const Operation> frame_operations() { return kOperations; }

}  // namespace sio::micro
