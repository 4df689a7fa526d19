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

}  // namespace
}  // namespace sio::internal::wire
