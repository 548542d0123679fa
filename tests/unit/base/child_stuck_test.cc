// A child that no signal ends: it waits, uninterruptibly, for a file server that does not answer.
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "base/child.h"
#include "base/stuck_children.h"
#include "tests/unit/base/children.h"
#include "tests/unit/kernel/silent_fuse.h"
#include "tests/unit/kernel/temp_folder.h"

namespace berth::base {
namespace {

TEST(StuckChild, IsWrittenOffAndReapedOnceItHasEnded) {
  SKIP_UNLESS_ROOT("mounting");
  if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/fuse here";
  const kernel::TempFolder temp;
  kernel::SilentFuse fuse(temp.Folder("dead"));
  UniqueFd pidfd;
  pid_t pid = -1;
  {
    auto child = Spawn(Shell("exec ls " + (temp / "dead").native()));
    ASSERT_TRUE(child) << child.error().Text();
    pid = child->pid();
    pidfd = *OpenPidfd(pid);
    // In request_wait_answer, where only SIGKILL makes the wait uninterruptible.
    const Context bounded = Bounded();
    while (fuse.taken() == 0 ||
           ReadFile(Cat("/proc/", pid, "/wchan")).value_or("").find("request_wait") == std::string::npos) {
      ASSERT_TRUE(
          bounded.Wait(-1, 0, "the server's answer", Monotonic::now() + std::chrono::milliseconds(1)).has_value());
    }
  }  // returns although it cannot be reaped
  EXPECT_EQ(StatusField(pid, "State").substr(0, 1), "D");
  EXPECT_EQ(WrittenOffChildren(), 1u);
  fuse.End();
  ASSERT_TRUE(Ends(pidfd.get()));
  { ASSERT_TRUE(Spawn(Shell("exit 0"))); }
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1) << "the next Spawn reaps it";
  EXPECT_EQ(WrittenOffChildren(), 0u);
}

}  // namespace
}  // namespace berth::base
