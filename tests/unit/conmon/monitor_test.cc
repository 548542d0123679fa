#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <regex>
#include <thread>

#include "base/time.h"
#include "tests/unit/conmon/monitor_fixture.h"

namespace berth::conmon {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

using MonitorTest = MonitorFixture;

TEST_F(MonitorTest, WritesBothStreamsInCriFormat) {
  auto launched = LaunchMonitor(Options("echo out; echo err >&2"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_TRUE(Finish(*launched));
  const std::string log = ReadLog();
  const std::regex line(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) F (out|err))");
  for (const auto text : base::Split(base::Trim(log), '\n')) {
    EXPECT_TRUE(std::regex_match(std::string(text), line)) << text;
  }
  EXPECT_THAT(Records(log), testing::UnorderedElementsAre("stdout F out", "stderr F err"));
}

TEST_F(MonitorTest, LogFileExistsOnceLaunched) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "0.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(MonitorTest, ReportsPidAndStartTime) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const auto start_time = base::ProcessStartTime(launched->pid);
  ASSERT_TRUE(start_time);
  EXPECT_EQ(launched->start_time, *start_time);
  const MonitorConnection connection = Connect();
  EXPECT_EQ(connection.hello().pid, launched->pid);
  EXPECT_EQ(connection.hello().start_time, *start_time);
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(MonitorTest, RecordsExitCodeAndTime) {
  const int64_t before = base::UnixNanos();
  auto launched = LaunchMonitor(Options("exit 7"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 7);
  EXPECT_EQ(record->signal, 0);
  EXPECT_GE(record->finished_at, before);
  EXPECT_LE(record->finished_at, base::UnixNanos());
}

TEST_F(MonitorTest, RecordsDeathBySignal) {
  auto launched = LaunchMonitor(Options("kill -9 $$"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 137);
  EXPECT_EQ(record->signal, 9);
}

TEST_F(MonitorTest, TellsSubscribersAfterTheRecordIsDurable) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go; exit 3"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  MonitorConnection connection = Connect();
  ASSERT_TRUE(connection.Subscribe(Bound()));
  const auto early = connection.Poll();
  ASSERT_TRUE(early);
  EXPECT_FALSE(*early);
  Release("go");
  ASSERT_TRUE(Bound().Wait(connection.fd(), POLLIN, "exit"));
  const auto record = ReadExitRecord(folder_ / "exit");
  ASSERT_TRUE(record && *record);
  const auto notice = connection.Poll();
  ASSERT_TRUE(notice && *notice);
  EXPECT_EQ((*notice)->durable, 1);
  EXPECT_EQ(RecordOf(**notice), **record);
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(MonitorTest, ConnectionEndsWithoutNoticeWhenTheMonitorIsKilled) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  MonitorConnection connection = Connect();
  ASSERT_TRUE(connection.Subscribe(Bound()));
  ASSERT_TRUE(launched->monitor.Signal(SIGKILL));
  ASSERT_TRUE(launched->monitor.Wait(Bound(), "monitor"));
  const auto notice = connection.Poll();
  ASSERT_FALSE(notice);
  EXPECT_EQ(notice.error().code, base::Code::kUnavailable);
  const auto record = ReadExitRecord(folder_ / "exit");
  ASSERT_TRUE(record) << record.error().Text();
  EXPECT_FALSE(*record);
  auto pidfd = base::OpenProcess(launched->pid, launched->start_time);
  if (pidfd) {
    EXPECT_TRUE(base::SignalPidfd(pidfd->get(), SIGKILL));
  }
}

TEST_F(MonitorTest, IgnoresTermination) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go; exit 4"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ASSERT_TRUE(launched->monitor.Signal(signal));
  EXPECT_TRUE(Connect().GetStatus(Bound()));
  Release("go");
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 4);
}

TEST_F(MonitorTest, ContainerInheritsNoIgnoredSignals) {
  auto launched = LaunchMonitor(Options("grep -E 'SigIgn|SigBlk' /proc/self/status"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(ReadLog()),
              ElementsAre("stdout F SigBlk:\t0000000000000000", "stdout F SigIgn:\t0000000000000000"));
}

TEST_F(MonitorTest, ContainerInheritsNoDescriptors) {
  auto launched = LaunchMonitor(Options("ls /proc/self/fd"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(ReadLog()),
              ElementsAre("stdout F 0", "stdout F 1", "stdout F 2", "stdout F 3"));  // 3 is ls's own
}

TEST_F(MonitorTest, FailedCreateGivesTheRuntimesText) {
  LaunchOptions options = Options("");
  options.runtime = {"/bin/sh", "-c",
                     "echo '{\"level\":\"error\",\"msg\":\"exec: \\\"nope\\\": not found\"}' > $D/runtime.log; exit 1"};
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code, base::Code::kInternal);
  EXPECT_THAT(launched.error().message, HasSubstr("exec: \"nope\": not found"));
  EXPECT_FALSE(base::Exists(options.socket));
  EXPECT_FALSE(base::Exists(options.exit_file));
}

TEST_F(MonitorTest, FailedCreateFallsBackToItsStderr) {
  LaunchOptions options = Options("");
  options.runtime = {"/bin/sh", "-c", "echo plain trouble >&2; exit 3"};
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("exited with 3: plain trouble"));
}

TEST_F(MonitorTest, FailedCreateLeavesNoProcess) {
  MakeFifo("never");
  LaunchOptions options = Options("");
  // In a session of its own, as a container's first process is.
  options.runtime = {
      "/bin/sh", "-c",
      "setsid sh -c 'echo $$ > $D/left; exec cat $D/never' & while [ ! -s $D/left ]; do :; done; exit 1"};
  ASSERT_FALSE(LaunchMonitor(options, Bound()));
  const auto left = base::ReadFile(folder_ / "left");
  ASSERT_TRUE(left);
  EXPECT_NE(kill(static_cast<pid_t>(*base::ParseInt(base::Trim(*left))), 0), 0);
}

TEST_F(MonitorTest, MissingRuntimeIsNamed) {
  LaunchOptions options = Options("");
  options.runtime = {"/nonexistent/runtime"};
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("start the OCI runtime: No such file or directory"));
}

TEST_F(MonitorTest, MissingLogFolderIsAnError) {
  LaunchOptions options = Options("true");
  options.log = folder_ / "missing" / "0.log";
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("open the container's log"));
}

TEST_F(MonitorTest, HangingCreateIsKilledAtItsLimit) {
  MakeFifo("never");
  LaunchOptions options = Options("");
  options.create_limit = milliseconds(200);
  options.runtime = {"/bin/sh", "-c", "echo $$ > $D/left; cat $D/never"};
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code, base::Code::kDeadlineExceeded);
  const auto left = base::ReadFile(folder_ / "left");
  ASSERT_TRUE(left);
  EXPECT_NE(kill(static_cast<pid_t>(*base::ParseInt(base::Trim(*left))), 0), 0);
}

TEST_F(MonitorTest, CancelledLaunchKillsTheRuntime) {
  MakeFifo("never");
  MakeFifo("started");
  LaunchOptions options = Options("");
  options.runtime = {"/bin/sh", "-c", "echo $$ > $D/left; echo x > $D/started; cat $D/never"};
  const base::Context context = base::Context::Make("test");
  std::jthread cancel([&] {
    EXPECT_TRUE(base::ReadFile(folder_ / "started"));
    context.Cancel();
  });
  const auto launched = LaunchMonitor(options, context);
  cancel.join();
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code, base::Code::kCancelled);
  const auto left = base::ReadFile(folder_ / "left");
  ASSERT_TRUE(left);
  EXPECT_NE(kill(static_cast<pid_t>(*base::ParseInt(base::Trim(*left))), 0), 0);
}

TEST_F(MonitorTest, OutputHeldByOthersDelaysTheEndForABoundedTime) {
  MakeFifo("go");
  LaunchOptions options = Options("setsid sh -c 'read x < $D/go' & echo done");
  options.drain = milliseconds(100);
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  EXPECT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F done"));
  Release("go");
}

TEST_F(MonitorTest, LastWordsAreInTheLogBeforeTheRecord) {
  auto launched = LaunchMonitor(Options("head -c 3000000 /dev/zero | tr '\\0' 'x'; printf '\\nend'"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_TRUE(Finish(*launched));
  const auto records = Records(ReadLog());
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records.back(), "stdout P end");
  size_t bytes = 0;
  for (const auto& record : records) bytes += record.size() - std::string_view("stdout F ").size();
  EXPECT_EQ(bytes, 3000000u + 3);
}

TEST_F(MonitorTest, DiscardsOutputWithoutALogPath) {
  LaunchOptions options = Options("head -c 1000000 /dev/zero; exit 5");
  options.log.clear();
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 5);
}

TEST_F(MonitorTest, WorksWithPathsLongerThanASocketAddress) {
  const base::Path deep = folder_ / std::string(120, 'd') / std::string(120, 'e');
  ASSERT_TRUE(base::MakeDirs(deep));
  LaunchOptions options = OptionsIn(deep, "read x");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  auto connection = MonitorConnection::Connect(options.socket, Bound());
  ASSERT_TRUE(connection) << connection.error().Text();
  EXPECT_TRUE(connection->CloseStdin(Bound()));
  ASSERT_TRUE(launched->monitor.Wait(Bound(), "monitor"));
}

TEST_F(MonitorTest, SurvivesMalformedRequests) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const MonitorConnection connection = Connect();
  for (const std::string& packet : {std::string("x"), std::string(16, '\xff'), std::string(4000, 'a')}) {
    ASSERT_GT(send(connection.fd(), packet.data(), packet.size(), 0), 0);
    ASSERT_TRUE(Bound().Wait(connection.fd(), POLLIN, "reply"));
    Reply reply;
    ASSERT_EQ(recv(connection.fd(), &reply, sizeof reply, 0), static_cast<ssize_t>(sizeof reply));
    EXPECT_EQ(reply.type, MessageType::kMalformed);
    EXPECT_EQ(reply.error, EBADMSG);
  }
  EXPECT_TRUE(Connect().GetStatus(Bound()));
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(MonitorTest, LosesAndSplitsNoLineOverAThousandRotations) {
  constexpr int kLines = 200'000;
  MakeFifo("go");
  MakeFifo("end");
  auto launched = LaunchMonitor(Options("read x < $D/go; seq 1 " + std::to_string(kLines) +
                                        " | while read n; do echo line-$n; done; read x < $D/end"),
                                Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  MonitorConnection connection = Connect();
  Release("go");
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    const base::Path rotated = folder_ / ("0.log." + std::to_string(i));
    ASSERT_EQ(rename((folder_ / "0.log").c_str(), rotated.c_str()), 0);
    const auto status = connection.ReopenLog(Bound());
    ASSERT_TRUE(status) << status.error().Text();
    // Nothing is written to the old file once the reply is there.
    all += base::ReadFile(rotated, 64 << 20).value_or("");
    ASSERT_TRUE(base::RemoveFile(rotated));
  }
  Release("end");
  ASSERT_TRUE(Finish(*launched));
  const auto records = Records(all + ReadLog());
  ASSERT_EQ(records.size(), static_cast<size_t>(kLines));
  for (int i = 0; i < kLines; ++i) ASSERT_EQ(records[static_cast<size_t>(i)], "stdout F line-" + std::to_string(i + 1));
}

TEST_F(MonitorTest, FailedReopenKeepsTheOldFile) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go; echo still here"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_EQ(rename((folder_ / "0.log").c_str(), (folder_ / "kept").c_str()), 0);
  ASSERT_EQ(mkdir((folder_ / "0.log").c_str(), 0700), 0);
  EXPECT_FALSE(Connect().ReopenLog(Bound()));
  Release("go");
  ASSERT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(base::ReadFile(folder_ / "kept").value_or("")), ElementsAre("stdout F still here"));
}

TEST_F(MonitorTest, KeepsAndServesARecordThatCannotBeWritten) {
  // Every write to this device fails with ENOSPC.
  LaunchOptions options = Options("exit 9");
  ASSERT_EQ(symlink("/dev/full", options.exit_file.c_str()), 0);
  EXPECT_FALSE(LaunchMonitor(options, Bound())) << "a link must not be followed";

  int sync[2];
  ASSERT_EQ(pipe2(sync, O_CLOEXEC), 0);
  const base::UniqueFd reader(sync[0]);
  base::UniqueFd writer(sync[1]);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.socket.native().copy(address.sun_path, sizeof address.sun_path - 1);
  const base::UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  auto full = base::Open("/dev/full", O_WRONLY);
  ASSERT_TRUE(full);
  base::SpawnOptions spawn;
  spawn.program = options.monitor;
  spawn.arguments = {"berth-monitor", "--id=x", "--pid-file=" + options.pid_file.native(),
                     "--run-folder=" + folder_.native(), "--"};
  spawn.arguments.insert(spawn.arguments.end(), options.runtime.begin(), options.runtime.end());
  spawn.environment = options.environment;
  spawn.fds = {{writer.get(), kSyncFd}, {listener.get(), kListenFd}, {full->get(), kExitFd}};
  auto monitor = base::Spawn(spawn);
  ASSERT_TRUE(monitor);
  writer.Reset();

  MonitorConnection connection = Connect();
  ASSERT_TRUE(connection.Subscribe(Bound()));
  ASSERT_TRUE(Bound().Wait(connection.fd(), POLLIN, "exit"));
  const auto notice = connection.Poll();
  ASSERT_TRUE(notice && *notice);
  EXPECT_EQ((*notice)->durable, 0);
  EXPECT_EQ((*notice)->code, 9);
  EXPECT_FALSE(connection.ReopenLog(Bound()));  // not running any more
  EXPECT_TRUE(connection.Acknowledge(Bound()));
  EXPECT_TRUE(monitor->Wait(Bound(), "monitor"));
}

}  // namespace
}  // namespace berth::conmon
