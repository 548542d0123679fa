#include "network/conf_watcher.h"

#include <poll.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "base/context.h"
#include "network/config_folder.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

constexpr const char* kList = R"({"name":"pods","plugins":[{"type":"t"}]})";

class ConfWatcherTest : public testing::Test {
 protected:
  void Watch(const base::Path& conf_dir, std::vector<base::Path> bin_dirs = {}) {
    auto made = ConfWatcher::Make({.conf_dir = conf_dir,
                                   .bin_dirs = std::move(bin_dirs),
                                   .on_change = [this] { ++changes_; },
                                   .debounce = std::chrono::milliseconds(1)});
    ASSERT_TRUE(made) << made.error().Text();
    watcher_ = *std::move(made);
    Changed();  // the first reading
  }
  // Waits for the next call of on_change; the bound is there against hanging alone.
  void Changed() {
    const base::Context context = base::Context().WithTimeout(std::chrono::seconds(30));
    for (const int before = changes_; changes_ == before;) {
      const auto ready = context.Wait(watcher_->fd(), POLLIN, "a change");
      ASSERT_TRUE(ready) << ready.error().Text();
      watcher_->Process();
    }
  }
  // Until `done` holds after a change: one act may be several events.
  void Until(const std::function<bool()>& done) {
    while (!done() && !HasFatalFailure()) Changed();
  }
  bool Loaded(const base::Path& conf_dir) { return LoadConfigFolder(conf_dir, "").list.has_value(); }

  TempFolder folder_;
  int changes_ = 0;
  std::unique_ptr<ConfWatcher> watcher_;
};

TEST_F(ConfWatcherTest, FileThatAppearsIsNoticed) {
  const base::Path conf = folder_.path();
  Watch(conf);
  Write(conf / "1.conf", kList);
  Changed();
  EXPECT_TRUE(Loaded(conf));
}

TEST_F(ConfWatcherTest, FileThatGoesIsNoticed) {
  const base::Path conf = folder_.path();
  Write(conf / "1.conf", kList);
  Watch(conf);
  ASSERT_TRUE(base::RemoveFile(conf / "1.conf"));
  Changed();
  EXPECT_FALSE(Loaded(conf));
}

TEST_F(ConfWatcherTest, FolderThatIsAbsentIsTakenUpWhenItAppears) {
  const base::Path conf = folder_.path() / "etc/cni/net.d";
  Watch(conf);
  ASSERT_TRUE(base::MakeDirs(folder_.path() / "etc"));
  Changed();
  ASSERT_TRUE(base::MakeDirs(conf));
  Changed();
  Write(conf / "1.conf", kList);
  Changed();
  EXPECT_TRUE(Loaded(conf));
}

TEST_F(ConfWatcherTest, ReplacedFolderIsTakenUp) {
  const base::Path conf = folder_.path() / "net.d";
  Write(conf / "1.conf", "{");
  Watch(conf);
  const base::Path other = folder_.path() / "other";
  ASSERT_TRUE(base::MakeDirs(other));
  std::filesystem::rename(conf, folder_.path() / "old");
  std::filesystem::rename(other, conf);
  Changed();
  Write(conf / "2.conf", kList);
  Until([&] { return Loaded(conf); });
}

TEST_F(ConfWatcherTest, RemovedAndRemadeFolderIsTakenUp) {
  const base::Path conf = folder_.path() / "a/net.d";
  Write(conf / "1.conf", kList);
  Watch(conf);
  ASSERT_TRUE(base::RemoveTree(folder_.path() / "a"));
  Until([&] { return !base::Exists(conf); });
  Changed();
  Write(conf / "1.conf", kList);
  Changed();
  Write(conf / "2.conf", kList);
  Changed();
}

TEST_F(ConfWatcherTest, LinkThatIsTurnedIsFollowed) {
  const base::Path conf = folder_.path() / "link";
  ASSERT_TRUE(base::MakeDirs(folder_.path() / "one"));
  ASSERT_TRUE(base::MakeDirs(folder_.path() / "two"));
  std::filesystem::create_symlink("one", conf);
  Watch(conf);
  std::filesystem::create_symlink(folder_.path() / "two", folder_.path() / "new");
  std::filesystem::rename(folder_.path() / "new", conf);
  Changed();
  Write(folder_.path() / "two/1.conf", kList);
  Changed();
  EXPECT_TRUE(Loaded(conf));
}

TEST_F(ConfWatcherTest, LoopOfLinksIsSurvived) {
  const base::Path conf = folder_.path() / "loop";
  std::filesystem::create_symlink("loop", conf);
  Watch(conf);
  ASSERT_TRUE(base::RemoveFile(conf));
  Changed();
  Write(conf / "1.conf", kList);
  Until([&] { return Loaded(conf); });
}

TEST_F(ConfWatcherTest, PluginInSubfolderIsNoticed) {
  const base::Path conf = folder_.path();
  ASSERT_TRUE(base::MakeDirs(conf / "pods"));
  Watch(conf);
  Write(conf / "pods/1.conf", R"({"type":"t"})");
  Changed();
}

TEST_F(ConfWatcherTest, BinaryThatAppearsIsNoticed) {
  const base::Path bin = folder_.path() / "opt/cni/bin";
  Watch(folder_.path() / "net.d", {bin});
  ASSERT_TRUE(base::MakeDirs(bin));
  Changed();
  Write(bin / "bridge", "", 0755);
  Changed();
}

TEST_F(ConfWatcherTest, NeighbourIsNoChange) {
  const base::Path conf = folder_.path() / "net.d";
  ASSERT_TRUE(base::MakeDirs(conf));
  Watch(conf);
  const int before = changes_;
  Write(folder_.path() / "neighbour", "");
  // Its event is there as soon as the write returns; taking it must not start the timer, which would strike at once.
  // Others may be busy in the folders above meanwhile, whose events are taken too.
  for (const auto end = base::Monotonic::now() + std::chrono::milliseconds(50); base::Monotonic::now() < end;) {
    pollfd waiting{watcher_->fd(), POLLIN, 0};
    ASSERT_GE(poll(&waiting, 1, base::PollTimeout(end)), 0);
    watcher_->Process();
  }
  EXPECT_EQ(changes_, before);
}

}  // namespace
}  // namespace berth::network
