// SPDX-License-Identifier: BSD-2-Clause
//
// What is to be heard of a device that has gone. soft-RoCE's stays while a process has it open;
// others leave their descriptors behind, readable for ever, of which each read fails with EIO
// (ib_uverbs_event_poll and ib_uverbs_event_read of Linux).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "seam/desk.h"
#include "seam/events.h"

namespace sio::test {
namespace {

// While this lives, reading `fd` is EIO.
class Unplugged {
 public:
  explicit Unplugged(int fd) : fd_(fd), before_(dup(fd)) {
    const int nothing = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);  // whose first page is none
    must(dup2(nothing, fd_), "dup2");
    close(nothing);
  }
  ~Unplugged() {
    dup2(before_, fd_);
    close(before_);
  }
  Unplugged(const Unplugged&) = delete;
  Unplugged& operator=(const Unplugged&) = delete;

 private:
  const int fd_;
  const int before_;
};

class Gone : public testing::Test {
 protected:
  void SetUp() override {
    if (on_soft()) GTEST_SKIP() << "the soft provider's device never goes";
  }
};

TEST_F(Gone, IsSaidByTheCompletionChannel) {
  Desk desk(own_device());
  EXPECT_TRUE(desk.channel().take_notifications(1));
  const Unplugged unplugged(desk.channel().fd());
  EXPECT_FALSE(desk.channel().take_notifications(1));
}

TEST_F(Gone, IsSaidByTheDeviceItself) {
  auto& provider = internal::provider::instance();
  ASSERT_FALSE(provider.async_fds().empty());
  for (const int fd : provider.async_fds()) {
    EXPECT_TRUE(provider.handle_async(fd));
    const Unplugged unplugged(fd);
    EXPECT_FALSE(provider.handle_async(fd));
  }
}

}  // namespace
}  // namespace sio::test
