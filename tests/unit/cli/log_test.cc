#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "cli/log_follower.h"
#include "cli/log_record.h"

namespace berth::cli {
namespace {

TEST(LogRecord, IsParsed) {
  const auto record = ParseLogRecord("2016-10-06T00:17:09.669794202Z stderr F a b ");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->timestamp, "2016-10-06T00:17:09.669794202Z");
  EXPECT_TRUE(record->is_stderr);
  EXPECT_FALSE(record->partial);
  EXPECT_EQ(record->content, "a b ");
}

TEST(LogRecord, FirstOfSeveralTagsCounts) {
  EXPECT_TRUE(ParseLogRecord("t stdout P:x y")->partial);
  EXPECT_EQ(ParseLogRecord("t stdout F ")->content, "");
}

TEST(LogRecord, AnythingElseIsNone) {
  for (const char* line :
       {"", " ", "t", "t stdout", "t stdout F", "t other F x", "t stdout Q x", " stdout F x", "{\"log\":\"x\"}"})
    EXPECT_FALSE(ParseLogRecord(line)) << line;
}

TEST(LineBuffer, WaitsForTheNewline) {
  LineBuffer lines;
  lines.Append("one\ntw");
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), std::nullopt);
  lines.Append("o\n\n");
  EXPECT_EQ(lines.Next(), "two");
  EXPECT_EQ(lines.Next(), "");
  EXPECT_EQ(lines.Next(), std::nullopt);
}

TEST(LineBuffer, LineThatIsTooLongIsLeftOut) {
  LineBuffer lines;
  lines.Append(std::string(LineBuffer::kLimit + 1, 'x'));
  EXPECT_EQ(lines.Next(), std::nullopt);
  lines.Append("xxx");
  lines.Append("x\nnext\n");
  EXPECT_EQ(lines.Next(), "next");
}

class LogFollowerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/berth-log-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "0.log";
  }
  void TearDown() override {
    if (thread_.joinable()) {
      context_.Cancel();
      thread_.join();
    }
    EXPECT_TRUE(base::RemoveTree(folder_));
  }

  base::UniqueFd OpenForWriting() {
    auto fd = base::Open(path_, O_WRONLY | O_CREAT | O_APPEND, 0640);
    EXPECT_TRUE(fd) << fd.error().Text();
    return *std::move(fd);
  }
  static void Write(const base::UniqueFd& fd, const std::string& content) {
    EXPECT_TRUE(base::WriteAll(fd.get(), "2016-10-06T00:17:09.669794202Z stdout F " + content + "\n", "log"));
  }

  void StartFollowing() {
    thread_ = std::thread([this] {
      const auto followed = FollowLog(
          path_,
          [this] {
            ++asked_;
            return base::Result<bool>(ended_.load());
          },
          [this](const LogRecord& record) {
            std::lock_guard lock(mutex_);
            seen_.emplace_back(record.content);
            changed_.notify_all();
          },
          context_);
      std::lock_guard lock(mutex_);
      result_ = followed;
      done_ = true;
      changed_.notify_all();
    });
  }
  // Waits until `count` records have come; bounded, so that a failure does not hang.
  std::vector<std::string> Seen(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return seen_.size() >= count; });
    return seen_;
  }
  bool Finished() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return done_; });
  }

  base::Context context_ = base::Context::Make("test");
  base::Path folder_, path_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> asked_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> seen_;
  base::Status result_;
  bool done_ = false;
  std::thread thread_;
};

TEST_F(LogFollowerTest, ReadLeavesOutWhatIsNoRecord) {
  ASSERT_TRUE(base::WriteFile(path_, "t stdout F one\ngarbage\nt stderr P two\nt stdout F torn"));
  std::vector<std::string> seen;
  ASSERT_TRUE(ReadLog(path_, [&](const LogRecord& record) { seen.emplace_back(record.content); }));
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "two"}));
}

TEST_F(LogFollowerTest, MissingFileIsAnEmptyLog) {
  EXPECT_TRUE(ReadLog(path_, [](const LogRecord&) { ADD_FAILURE(); }));
}

TEST_F(LogFollowerTest, EndedContainerIsReadOnce) {
  Write(OpenForWriting(), "one");
  ended_ = true;
  StartFollowing();
  ASSERT_TRUE(Finished());
  EXPECT_TRUE(result_);
  EXPECT_EQ(seen_, (std::vector<std::string>{"one"}));
}

TEST_F(LogFollowerTest, WhatIsAppendedIsShown) {
  const base::UniqueFd log = OpenForWriting();
  Write(log, "one");
  StartFollowing();
  Seen(1);
  Write(log, "two");
  EXPECT_EQ(Seen(2), (std::vector<std::string>{"one", "two"}));
}

TEST_F(LogFollowerTest, FileThatAppearsLaterIsRead) {
  StartFollowing();
  const base::UniqueFd log = OpenForWriting();
  Write(log, "one");
  EXPECT_EQ(Seen(1), (std::vector<std::string>{"one"}));
}

TEST_F(LogFollowerTest, EndsWhenTheWriterClosesAndTheContainerHasEnded) {
  base::UniqueFd log = OpenForWriting();
  StartFollowing();
  Write(log, "last");
  Seen(1);
  ended_ = true;
  log.Reset();
  ASSERT_TRUE(Finished());
  EXPECT_TRUE(result_);
  EXPECT_EQ(seen_, (std::vector<std::string>{"last"}));
}

TEST_F(LogFollowerTest, EndsThoughTheDaemonLearnsOfItAfterTheClose) {
  base::UniqueFd log = OpenForWriting();
  StartFollowing();
  Write(log, "last");
  Seen(1);
  const int before = asked_;
  log.Reset();
  while (asked_ <= before + 1) std::this_thread::yield();  // asked after the close, and told "no"
  ended_ = true;
  EXPECT_TRUE(Finished());
}

TEST_F(LogFollowerTest, RotationLosesAndRepeatsNothing) {
  base::UniqueFd log = OpenForWriting();
  Write(log, "one");
  StartFollowing();
  Seen(1);
  // As the kubelet and the monitor do it: rename, go on writing, open anew, close the old one.
  ASSERT_EQ(rename(path_.c_str(), (folder_ / "0.log.20240101-000000").c_str()), 0);
  Write(log, "two");
  base::UniqueFd fresh = OpenForWriting();
  Write(log, "three");
  log.Reset();
  Write(fresh, "four");
  EXPECT_EQ(Seen(4), (std::vector<std::string>{"one", "two", "three", "four"}));
  ended_ = true;
  fresh.Reset();
  EXPECT_TRUE(Finished());
  EXPECT_EQ(seen_.size(), 4u);
}

TEST_F(LogFollowerTest, CutFileIsReadFromItsBeginning) {
  const base::UniqueFd log = OpenForWriting();
  Write(log, "one, which is longer");
  StartFollowing();
  Seen(1);
  ASSERT_EQ(ftruncate(log.get(), 0), 0);
  Write(log, "two");
  EXPECT_EQ(Seen(2).back(), "two");
}

TEST_F(LogFollowerTest, CancellationEndsIt) {
  const base::UniqueFd log = OpenForWriting();
  StartFollowing();
  context_.Cancel();
  ASSERT_TRUE(Finished());
  ASSERT_FALSE(result_);
  EXPECT_EQ(result_.error().code, base::Code::kCancelled);
}

TEST_F(LogFollowerTest, MissingFolderIsAnError) {
  EXPECT_FALSE(FollowLog(
      folder_ / "gone" / "0.log", [] { return base::Result<bool>(false); }, [](const LogRecord&) {}, {}));
}

}  // namespace
}  // namespace berth::cli
