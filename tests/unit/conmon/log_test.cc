#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "conmon/monitor.h"
#include "tests/unit/conmon/monitor_fixture.h"

namespace berth::conmon {
namespace {

using testing::ElementsAre;

class LogTest : public MonitorFixture {
 protected:
  void SetUp() override {
    MonitorFixture::SetUp();
    signal(SIGXFSZ, SIG_IGN);  // then a write beyond the limit of a file's size fails with EFBIG
    path_ = (folder_ / "0.log").native();
    ASSERT_EQ(log_.Open(path_.c_str()), 0);
  }
  void TearDown() override {
    LimitFileSize(RLIM_INFINITY);
    MonitorFixture::TearDown();
  }
  static void LimitFileSize(rlim_t size) {
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  void Feed(LogStream& stream, std::string_view text) {
    while (!text.empty()) {
      const auto room = stream.Room();
      const size_t count = std::min(room.size(), text.size());
      std::memcpy(room.data(), text.data(), count);
      text.remove_prefix(count);
      stream.Took(count, log_);
    }
  }
  static std::string Line(char c, size_t size) { return std::string(size, c) + "\n"; }

  std::string path_;
  std::unique_ptr<MonitorMemory> memory_ = std::make_unique<MonitorMemory>();
  LogFile log_{memory_->log};
  LogStream out_{LogSource::kStdout, memory_->out, 16384, 250};
  LogStream err_{LogSource::kStderr, memory_->err, 16384, 250};
};

TEST_F(LogTest, KeepsEmptyLinesAndTheirBlank) {
  Feed(out_, "\n\na\n");
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F ", "stdout F ", "stdout F a"));
}

TEST_F(LogTest, KeepsBytesAsTheyAre) {
  Feed(out_, std::string_view("\0\r\xff\xc3 x\r\n", 8));
  EXPECT_THAT(Records(ReadLog()), ElementsAre(std::string("stdout F \0\r\xff\xc3 x\r", 16)));
}

TEST_F(LogTest, JoinsALineReadInPieces) {
  Feed(out_, "one ");
  Feed(out_, "two");
  Feed(err_, "between\n");
  Feed(out_, " three\n");
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stderr F between", "stdout F one two three"));
}

TEST_F(LogTest, WritesAnUnfinishedLineAsAPieceOnceItIsOld) {
  Feed(out_, "prompt> ");
  EXPECT_EQ(ReadLog(), "");
  ASSERT_LT(out_.due(), base::TimePoint::max());
  out_.Tick(out_.due(), log_);
  EXPECT_EQ(out_.due(), base::TimePoint::max());
  Feed(out_, "\n");
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout P prompt> ", "stdout F "));
}

TEST_F(LogTest, ALineOfExactlyTheLimitIsOneRecord) {
  Feed(out_, Line('x', 16384));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F " + std::string(16384, 'x')));
}

TEST_F(LogTest, CutsLongerLinesAtTheLimit) {
  Feed(out_, Line('x', 16384 * 2 + 1));
  const std::string piece(16384, 'x');
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout P " + piece, "stdout P " + piece, "stdout F x"));
}

TEST_F(LogTest, WritesMoreLinesThanOneCallTakes) {
  Feed(out_, std::string(60000, '\n'));
  EXPECT_EQ(Records(ReadLog()).size(), 60000u);
}

TEST_F(LogTest, FinishesATornRecordBeforeAnythingElse) {
  LimitFileSize(100);  // the first record has 40 + 100 + 1 bytes
  Feed(out_, Line('a', 100) + Line('b', 10) + Line('c', 10));
  EXPECT_EQ(ReadLog().size(), 100u);
  EXPECT_TRUE(log_.failing());
  EXPECT_EQ(log_.dropped(), 2u);
  Feed(err_, "lost too\n");
  EXPECT_EQ(log_.dropped(), 3u);
  LimitFileSize(RLIM_INFINITY);
  Feed(err_, "written\n");
  EXPECT_FALSE(log_.failing());
  EXPECT_THAT(Records(ReadLog()),
              ElementsAre("stdout F " + std::string(100, 'a'),
                          "stderr F berth: 3 log records were dropped: File too large", "stderr F written"));
}

TEST_F(LogTest, TearsAtEveryByteAndRecovers) {
  for (rlim_t size = 1; size < 130; ++size) {
    ASSERT_EQ(truncate(path_.c_str(), 0), 0);
    LimitFileSize(size);
    Feed(out_, "first\nsecond\n");
    LimitFileSize(RLIM_INFINITY);
    if (log_.failing()) {
      ASSERT_TRUE(log_.Recover());
    }
    Feed(out_, "last\n");
    const auto records = Records(ReadLog());
    for (const auto& record : records) EXPECT_TRUE(record.starts_with("std")) << size << ": " << record;
    EXPECT_EQ(records.back(), "stdout F last");
  }
}

TEST_F(LogTest, SaysWhatWasDroppedWithoutFurtherOutput) {
  LimitFileSize(1);
  Feed(out_, "a\nb\n");
  LimitFileSize(RLIM_INFINITY);
  EXPECT_TRUE(log_.Recover());
  EXPECT_THAT(Records(ReadLog()),
              ElementsAre("stdout F a", "stderr F berth: 1 log records were dropped: File too large"));
}

TEST_F(LogTest, ReopenFinishesTheTornRecordInTheOldFile) {
  LimitFileSize(50);
  Feed(out_, Line('a', 100));
  LimitFileSize(RLIM_INFINITY);
  ASSERT_EQ(rename(path_.c_str(), (folder_ / "old").c_str()), 0);
  EXPECT_EQ(log_.Reopen(), 0);
  Feed(out_, "new\n");
  EXPECT_THAT(Records(base::ReadFile(folder_ / "old").value_or("")), ElementsAre("stdout F " + std::string(100, 'a')));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F new"));
}

TEST_F(LogTest, ReopenOnAFullDiskLeavesNoTornRecord) {
  LimitFileSize(150);
  Feed(out_, Line('a', 50) + Line('b', 100));
  ASSERT_EQ(rename(path_.c_str(), (folder_ / "old").c_str()), 0);
  EXPECT_EQ(log_.Reopen(), 0);
  LimitFileSize(RLIM_INFINITY);
  EXPECT_TRUE(!log_.failing() || log_.Recover());
  EXPECT_THAT(Records(base::ReadFile(folder_ / "old").value_or("")), ElementsAre("stdout F " + std::string(50, 'a')));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stderr F berth: 1 log records were dropped: File too large"));
}

TEST_F(LogTest, RefusesToWriteThroughALink) {
  const std::string link = (folder_ / "link").native();
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  LogFile other(memory_->log);
  EXPECT_EQ(other.Open(link.c_str()), ELOOP);
}

}  // namespace
}  // namespace berth::conmon
