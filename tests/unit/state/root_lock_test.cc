#include "state/root_lock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>

#include "base/strings.h"
#include "tests/unit/state/temp_folder.h"

namespace berth::state {
namespace {

using testing::HasSubstr;

// A process that has the lock, and a child of it that came by the descriptor as one between fork and exec does.
class Holder {
 public:
  explicit Holder(const base::Path& root) {
    int ready[2];
    if (pipe(ready) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      const auto lock = LockRoot(root);
      const pid_t child = lock ? fork() : -1;
      if (child != 0 && write(ready[1], &child, sizeof child) != sizeof child) _exit(1);
      for (;;) pause();
    }
    close(ready[1]);
    EXPECT_EQ(read(ready[0], &child_, sizeof child_), static_cast<ssize_t>(sizeof child_));
    close(ready[0]);
    EXPECT_GT(child_, 0) << "the lock was refused";
  }
  ~Holder() {
    Kill();
    if (child_ > 0) kill(child_, SIGKILL);
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    EXPECT_EQ(waitpid(pid_, nullptr, 0), pid_);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  pid_t child_ = -1;
};

TEST(RootLock, RefusedWhileAnotherProcessHasItAndToldWhich) {
  const TempFolder folder;
  const Holder holder(folder.path());
  const auto lock = LockRoot(folder.path());
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, base::Code::kFailedPrecondition);
  EXPECT_THAT(lock.error().message, HasSubstr("another berthd works on " + folder.path().native()));
  EXPECT_THAT(lock.error().message, HasSubstr(base::Cat("(process ", holder.pid(), ")")));
}

TEST(RootLock, FreeOnceItsProcessIsKilledThoughAChildHasTheDescriptor) {
  const TempFolder folder;
  Holder holder(folder.path());
  holder.Kill();
  EXPECT_TRUE(LockRoot(folder.path()));
}

TEST(RootLock, FreeOnceItIsClosed) {
  const TempFolder folder;
  { ASSERT_TRUE(LockRoot(folder.path())); }
  const Holder holder(folder.path());
}

}  // namespace
}  // namespace berth::state
