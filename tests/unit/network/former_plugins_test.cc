#include "network/former_plugins.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/child.h"
#include "network/plugin.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using std::chrono::milliseconds;

class FormerPluginsTest : public testing::Test {
 protected:
  std::unique_ptr<FormerPlugins> Open(milliseconds patience = milliseconds(60'000),
                                      milliseconds death = milliseconds(60'000)) {
    auto opened = FormerPlugins::Open({.file = folder_.path() / "lock", .patience = patience, .death = death});
    EXPECT_TRUE(opened) << opened.error().Text();
    return *std::move(opened);
  }
  // A plugin of the daemon that holds `fd`, and what it started, which is all that is left of it.
  base::Child Orphan(int fd, const std::string& script) {
    auto child = base::Spawn({.program = "/bin/sh",
                              .arguments = {"sh", "-c", script},
                              .environment = {"PATH=/usr/bin:/bin"},
                              .fds = {{fd, kHeldFd}}});
    EXPECT_TRUE(child);
    return child ? *std::move(child) : base::Child();
  }
  static base::Context Bounded() { return base::Context().WithTimeout(std::chrono::seconds(60)); }
  TempFolder folder_;
};

TEST_F(FormerPluginsTest, NobodyIsWaitedForWhenNoneRuns) {
  const auto former = Open();
  EXPECT_TRUE(former->Wait(base::Context().WithTimeout(milliseconds(0))));
}

TEST_F(FormerPluginsTest, OnesOwnAreNotWaitedFor) {
  const auto former = Open();
  const base::Child own = Orphan(former->fd(), "sleep 1000");
  EXPECT_TRUE(former->Wait(base::Context().WithTimeout(milliseconds(0))));
}

TEST_F(FormerPluginsTest, WhatAPluginStartedIsWaitedFor) {
  auto dead = Open();
  auto go = base::MakePipe();
  ASSERT_TRUE(go);
  auto child = base::Spawn({.program = "/bin/sh",
                            .arguments = {"sh", "-c", "(read line) <&4 & exit 0"},
                            .environment = {"PATH=/usr/bin:/bin"},
                            .fds = {{dead->fd(), kHeldFd}, {go->read.get(), 4}},
                            .new_group = false});
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->Wait(Bounded(), "plugin"));
  dead.reset();
  const auto former = Open();
  EXPECT_EQ(former->Wait(base::Context().WithTimeout(milliseconds(50))).error().code, base::Code::kDeadlineExceeded);
  go->write.Reset();
  EXPECT_TRUE(former->Wait(Bounded()));
}

TEST_F(FormerPluginsTest, WhatDoesNotEndIsKilledAndOnesOwnAreNot) {
  if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 0) != 0) GTEST_SKIP() << "the kernel was built without kcmp";
  auto dead = Open();
  base::Child orphan = Orphan(dead->fd(), "trap '' TERM; exec sleep 1000");
  dead.reset();
  const auto former = Open(milliseconds(0));
  base::Child own = Orphan(former->fd(), "exec sleep 1000");
  EXPECT_TRUE(former->Wait(Bounded()));
  const auto exit = orphan.Wait(Bounded(), "orphan");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->signal, SIGKILL);
  EXPECT_FALSE(own.Wait(base::Context().WithTimeout(milliseconds(0)), "own"));
}

TEST_F(FormerPluginsTest, WhatCannotBeKilledIsGivenUp) {
  const auto dead = Open();  // held by this process, which is never killed
  const auto former = Open(milliseconds(0), milliseconds(0));
  EXPECT_TRUE(former->Wait(Bounded()));
}

}  // namespace
}  // namespace berth::network
