// Exec over SPDY, with real processes.
#include <fstream>

#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kSuccess = R"({"metadata":{},"status":"Success"})";

class Exec : public StreamingTest {
 protected:
  struct Streams {
    uint32_t error = 0, input = 0, output = 0, errors = 0, resize = 0;
  };
  // Opens what the order asks for, as the Go clients do.
  static Streams OpenStreams(SpdyClient& client, const streaming::Streams& wanted, bool resize = false) {
    Streams out;
    const auto open = [&](const char* type) { return client.connection->Open({{"streamtype", type}}); };
    out.error = open("error");
    if (wanted.input) out.input = open("stdin");
    if (wanted.output) out.output = open("stdout");
    if (wanted.errors) out.errors = open("stderr");
    if (resize) out.resize = open("resize");
    return out;
  }
};

TEST_F(Exec, GivesBothStreamsAndTheStatusInOrder) {
  const ExecOrder order = Sh("echo out; echo err >&2; exit 7");
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[streams.output], "out\n");
  EXPECT_EQ(client->text[streams.errors], "err\n");
  EXPECT_THAT(client->text[streams.error], HasSubstr(R"("causes":[{"message":"7","reason":"ExitCode"}])"));
  // The outputs end before the status does.
  ASSERT_GE(client->order.size(), 3u);
  EXPECT_EQ(client->order[2], base::Cat("fin ", streams.error));
}

TEST_F(Exec, HalfClosedInputEndsTheProcessesInput) {
  const ExecOrder order = Sh("cat; echo end", {.input = true, .output = true});
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  client->connection->Send(streams.input, "text\n");
  client->connection->Fin(streams.input);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[streams.output], "text\nend\n");
  EXPECT_EQ(client->text[streams.error], kSuccess);
}

TEST_F(Exec, InputThatComesBeforeTheOtherStreamsIsKept) {
  const ExecOrder order = Sh("cat", {.input = true, .output = true});
  const auto client = Open(Url(order));
  const uint32_t input = client->connection->Open({{"streamtype", "stdin"}});
  client->connection->Send(input, "early");
  client->connection->Fin(input);
  ASSERT_TRUE(RunUntil([&] { return client->replied.size() == 1; }));
  const uint32_t output = client->connection->Open({{"streamtype", "stdout"}});
  client->connection->Open({{"streamtype", "error"}});
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[output], "early");
}

TEST_F(Exec, SixtyFourMegabytesGoThroughBothWays) {
  const ExecOrder order = Sh("cat", {.input = true, .output = true});
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  constexpr size_t kTotal = 64 << 20;
  for (size_t sent = 0; sent < kTotal;) {
    ASSERT_TRUE(RunUntil([&] { return client->connection->queued() < (1 << 20); }));
    client->connection->Send(streams.input, std::string(65536, static_cast<char>('a' + sent / 65536 % 26)));
    sent += 65536;
  }
  client->connection->Fin(streams.input);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  const std::string& text = client->text[streams.output];
  ASSERT_EQ(text.size(), kTotal);
  for (size_t i = 0; i < kTotal; i += 4096) ASSERT_EQ(text[i], static_cast<char>('a' + i / 65536 % 26)) << i;
  EXPECT_EQ(client->text[streams.error], kSuccess);
}

TEST_F(Exec, OutputThatNobodyReadsStopsTheProcessAndIsNotKept) {
  const ExecOrder order = Sh("head -c 300000000 /dev/zero; echo done > /dev/null", {.output = true});
  const auto client = Open(Url(order));
  client->keeps = false;
  client->connection->PauseReading();
  const Streams streams = OpenStreams(*client, order.streams);
  // The kernel's socket buffers take some megabytes, we a quarter of one.
  size_t before = 1;
  while (client->received != before) {
    before = client->received;
    const auto until = base::Monotonic::now() + std::chrono::milliseconds(200);
    while (base::Monotonic::now() < until) {
      loop_.restart();
      loop_.run_one_until(until);
    }
  }
  EXPECT_LT(client->received, size_t{100'000'000});
  client->connection->ResumeReading();
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->received, 300'000'000 + std::string(kSuccess).size());
  EXPECT_TRUE(client->Ended(streams.output));
}

TEST_F(Exec, ChildThatKeepsThePipeIsNotWaitedFor) {
  const ExecOrder order = Sh("echo $$; sleep 600 & exit 3", {.output = true});
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_THAT(client->text[streams.error], HasSubstr("exit code 3"));
  // It was in the shell's process group.
  kill(-std::stoi(client->text[streams.output]), SIGKILL);
}

TEST_F(Exec, ProgramThatCannotBeStartedIsTold) {
  const ExecOrder order{.container = "c", .command = {"/no/such/program"}, .streams = {.output = true}};
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_THAT(client->text[streams.error],
              HasSubstr("Internal error occurred: error executing command in container: "));
  EXPECT_THAT(client->text[streams.error], HasSubstr("\"code\":500"));
}

TEST_F(Exec, OlderVersionsGetPlainText) {
  for (const char* version : {"v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}) {
    const ExecOrder order = Sh("exit 9", {.output = true});
    const auto client = Open(Url(order), version);
    const Streams streams = OpenStreams(*client, order.streams);
    ASSERT_TRUE(RunUntil([&] { return client->closed; }));
    EXPECT_EQ(client->text[streams.error], "command terminated with non-zero exit code: exit code 9") << version;
  }
  const ExecOrder order = Sh("true", {.output = true});
  const auto client = Open(Url(order), "v2.channel.k8s.io");
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[streams.error], "");
  EXPECT_TRUE(client->Ended(streams.error));
}

TEST_F(Exec, StreamsThatNeverComeEndTheConnection) {
  server_->Stop();
  options_.creation = std::chrono::milliseconds(200);
  StartServer();
  const auto client = Open(Url(Sh("true")));
  client->connection->Open({{"streamtype", "error"}});
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(Exec, UnknownStreamsAreTakenAndDoNotCount) {
  const ExecOrder order = Sh("echo hi", {.output = true});
  const auto client = Open(Url(order));
  client->connection->Send(client->connection->Open({{"streamtype", "other"}}), "x");
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[streams.output], "hi\n");
}

TEST_F(Exec, ClientThatLeavesEndsTheInputAndNoMore) {
  const std::string fifo = testing::TempDir() + base::RandomId();
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  // Writes on without a reader, sees the end of its input, and says so.
  const ExecOrder order = Sh("echo ready; cat > /dev/null; head -c 10000000 /dev/zero; echo survived > " + fifo,
                             {.input = true, .output = true});
  auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->text[streams.output] == "ready\n"; }));
  client->connection->Abort({});
  const auto text = base::ReadFile(fifo);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "survived\n");
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
  unlink(fifo.c_str());
}

TEST_F(Exec, InputThatWaitsWhenTheClientLeavesStillComes) {
  const std::string go = testing::TempDir() + base::RandomId();
  const std::string size = testing::TempDir() + base::RandomId();
  ASSERT_EQ(mkfifo(go.c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(size.c_str(), 0600), 0);
  const ExecOrder order = Sh("read x < " + go + "; wc -c > " + size, {.input = true});
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  // In pieces too small to be moved into the pipe unseen.
  for (int i = 0; i < 16'000; ++i) client->connection->Send(streams.input, std::string(1000, 'x'));
  ASSERT_TRUE(Stall(*client));
  client->connection->Abort({});
  std::ofstream(go) << "go\n";
  const auto taken = base::ReadFile(size);
  ASSERT_TRUE(taken);
  EXPECT_GT(std::stoul(*taken), size_t{1} << 20);  // what the pipe holds, and what waited for it
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
  unlink(go.c_str());
  unlink(size.c_str());
}

TEST_F(Exec, IdleConnectionEnds) {
  server_->Stop();
  options_.idle = std::chrono::milliseconds(300);
  StartServer();
  const ExecOrder order = Sh("exec cat", {.input = true, .output = true});
  const auto client = Open(Url(order));
  OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(Exec, StopOfTheServerEndsConnectionsAndReturns) {
  const ExecOrder order = Sh("echo ready; exec cat", {.input = true, .output = true});
  const auto client = Open(Url(order));
  const Streams streams = OpenStreams(*client, order.streams);
  ASSERT_TRUE(RunUntil([&] { return client->text[streams.output] == "ready\n"; }));
  server_->Stop();
  EXPECT_EQ(server_->sessions(), 0u);
  EXPECT_TRUE(RunUntil([&] { return client->closed; }));
}

TEST_F(Exec, TwoHundredAtOnce) {
  std::vector<std::pair<std::shared_ptr<SpdyClient>, Streams>> clients;
  for (int i = 0; i < 200; ++i) {
    const ExecOrder order = Sh("echo " + std::to_string(i), {.output = true});
    const auto client = Open(Url(order));
    clients.emplace_back(client, OpenStreams(*client, order.streams));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    const auto& [client, streams] = clients[i];
    ASSERT_TRUE(RunUntil([&] { return client->closed; })) << i;
    EXPECT_EQ(client->text[streams.output], std::to_string(i) + "\n");
  }
}

}  // namespace
}  // namespace berth::streaming
