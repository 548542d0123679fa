// The size of a writable layer where the state root's file system counts by project: at once, and without a walk.
#include <sys/mount.h>
#include <unistd.h>

#include "base/child.h"
#include "kernel/project_quota.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using kernel::ProjectQuota;
using Runtime = v1::RuntimeService::Stub;

class Quota : public OnNode {
 protected:
  // The state root is an ext4 file system of its own.
  void Prepare() override {
    const Path image = folder() / "disk.img";
    ASSERT_STATUS_OK(base::WriteFile(image, ""));
    ASSERT_EQ(::truncate(image.c_str(), 1 << 30), 0);
    const auto made = Run("/usr/sbin/mkfs.ext4", {"mkfs.ext4", "-q", "-F", "-I", "256", "-O", "project,quota", "-E",
                                                  "quotatype=prjquota", image.native()});
    ASSERT_EQ(made.exit.code, 0) << made.errors;
    const auto mounted =
        Run("/usr/bin/mount", {"mount", "-o", "loop,prjquota", image.native(), daemon().options().state_root.native()});
    if (mounted.exit.code != 0) GTEST_SKIP() << "this kernel mounts no ext4 with project quotas: " << mounted.errors;
  }
  void TearDown() override {
    OnNode::TearDown();
    ::umount2((folder() / "state").c_str(), MNT_DETACH);
  }
  static base::RunResult Run(const char* program, const std::vector<std::string>& arguments) {
    auto ran = base::Run(
        {.spawn = {.program = program, .arguments = arguments, .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}},
        base::Context().WithTimeout(std::chrono::seconds(120)));
    EXPECT_TRUE(ran) << ran.error().Text();
    return ran.value_or(base::RunResult());
  }

  Path Layer(const std::string& container) {
    return daemon().options().state_root / "containers" / container / "upper";
  }
  v1::FilesystemUsage Told(const std::string& container) {
    v1::ContainerStatsRequest request;
    request.set_container_id(container);
    const auto reply = cri().Call(&Runtime::ContainerStats, request);
    EXPECT_CALL_OK(reply);
    return reply->stats().writable_layer();
  }
  void Exec(const std::string& container, const std::string& script) {
    const auto done = cri().Exec(container, Sh(script));
    ASSERT_CALL_OK(done);
    ASSERT_EQ(done->exit_code(), 0) << done->stderr();
  }
  kernel::ProjectUsage Counted(uint32_t id) {
    const auto quota = ProjectQuota::Open(daemon().options().state_root);
    EXPECT_TRUE(quota) << quota.error().Text();
    const auto usage = (*quota)->Read(id);
    EXPECT_TRUE(usage) << usage.error().Text();
    return usage.value_or(kernel::ProjectUsage());
  }
};

// A walk's figures are kept for ten seconds.
TEST_F(Quota, WhatIsWrittenAndRemovedCountsAtOnce) {
  const Made made = RunContainer({"sleep", "1000"});
  const v1::FilesystemUsage before = Told(made.container);
  Exec(made.container, "head -c 3000000 /dev/urandom > /filled && mkdir /a && touch /a/1 /a/2 && sync");
  const v1::FilesystemUsage filled = Told(made.container);
  EXPECT_GE(filled.used_bytes().value(), before.used_bytes().value() + 3'000'000);
  EXPECT_LT(filled.used_bytes().value(), before.used_bytes().value() + 3'100'000);
  EXPECT_EQ(filled.inodes_used().value(), before.inodes_used().value() + 4);
  EXPECT_GT(filled.timestamp(), before.timestamp());
  Exec(made.container, "rm -r /filled /a && sync");
  EXPECT_LT(Told(made.container).used_bytes().value(), before.used_bytes().value() + 100'000);
  EXPECT_EQ(Told(made.container).inodes_used().value(), before.inodes_used().value());
}

// Overlays make files beside the layer and rename them into it.
TEST_F(Quota, FilesOfTheImageAreCopiedUpRenamedAndHidden) {
  const Made made = RunContainer({"sleep", "1000"});
  const uint64_t before = Told(made.container).inodes_used().value();
  Exec(made.container, "cp /bin/busybox /x && echo >> /x && mv /x /y && ln /y /z && mkdir -p /d/e && mv /d /f");
  Exec(made.container, "for f in /bin/*; do [ -f $f ] && touch $f && mv $f $f.moved && break; done");
  EXPECT_GT(Told(made.container).inodes_used().value(), before);
}

TEST_F(Quota, EachContainerHasItsOwnCountOverRestarts) {
  const Made first = RunContainer({"sleep", "1000"});
  Exec(first.container, "head -c 1000000 /dev/urandom > /filled && sync");
  const uint32_t id = ProjectQuota::IdOf(Layer(first.container));
  ASSERT_NE(id, 0U);
  Restart();
  EXPECT_GE(Told(first.container).used_bytes().value(), 1'000'000U);
  const Made second = RunContainer({"sleep", "1000"});
  EXPECT_NE(ProjectQuota::IdOf(Layer(second.container)), 0U);
  EXPECT_NE(ProjectQuota::IdOf(Layer(second.container)), id);
  EXPECT_LT(Told(second.container).used_bytes().value(), 1'000'000U);
}

TEST_F(Quota, IdIsFreeAgainOnceTheContainerIsGone) {
  const Made made = RunContainer({"sleep", "1000"});
  const uint32_t id = ProjectQuota::IdOf(Layer(made.container));
  ASSERT_NE(id, 0U);
  EXPECT_GT(Counted(id).inodes, 0U);
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  ASSERT_CALL_OK(cri().Remove(made.container));
  EXPECT_TRUE(Eventually([&] { return Counted(id).inodes == 0; }));
  EXPECT_EQ(Counted(id).bytes, 0U);
}

}  // namespace
}  // namespace berth::e2e
