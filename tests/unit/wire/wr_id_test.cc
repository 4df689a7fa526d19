// SPDX-License-Identifier: BSD-2-Clause
#include "wire/wr_id.h"

#include <gtest/gtest.h>

namespace sio::internal::wire {
namespace {

// docs/protocol.md, Work request identifiers.
TEST(WorkId, HasTheBitsOfTheProtocolPage) {
  EXPECT_EQ(encode_work_id({Work::kReceive, 1, 3, 5}), 0x1000010000300005u);
}

TEST(WorkId, ComesBackAsItWas) {
  for (const Work kind : {Work::kReceive, Work::kSend}) {
    const WorkId id = decode_work_id(encode_work_id({kind, kWorkIdMask, 0, kWorkIdMask - 1}));
    EXPECT_EQ(id.kind, kind);
    EXPECT_EQ(id.generation, kWorkIdMask);
    EXPECT_EQ(id.connection, 0u);
    EXPECT_EQ(id.index, kWorkIdMask - 1);
  }
}

TEST(WorkId, KeepsItsFieldsApartWhenACountRunsOver) {
  const WorkId id = decode_work_id(encode_work_id({Work::kSend, 7, 9, kWorkIdMask + 3}));
  EXPECT_EQ(id.generation, 7u);
  EXPECT_EQ(id.connection, 9u);
  EXPECT_EQ(id.index, 2u);
}

TEST(WorkId, HasABaseThatAllOfItsConnectionsGenerationHave) {
  const uint64_t base = encode_work_id({Work{}, kWorkIdMask, 9, 0});
  for (const Work kind : {Work::kReceive, Work::kBulkSend}) {
    const uint64_t id = encode_work_id({kind, kWorkIdMask, 9, 77});
    EXPECT_EQ(base_of(id), base);
    EXPECT_EQ(connection_of(id), 9u);
  }
  EXPECT_NE(base_of(encode_work_id({Work::kSend, kWorkIdMask, 8, 77})), base);
  EXPECT_NE(base_of(encode_work_id({Work::kSend, kWorkIdMask - 1, 9, 77})), base);
  EXPECT_EQ(next_generation(base), encode_work_id({Work{}, 0, 9, 0}));
  EXPECT_EQ(next_generation(next_generation(base)), encode_work_id({Work{}, 1, 9, 0}));
}

}  // namespace
}  // namespace sio::internal::wire
