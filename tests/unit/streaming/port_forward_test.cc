// Port-forward over SPDY, to listeners of this test.
#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

using testing::HasSubstr;

class PortForward : public StreamingTest {
 protected:
  void SetUp() override {
    connect_ = [this](const std::string& pod, uint16_t port) -> base::Result<base::UniqueFd> {
      EXPECT_EQ(pod, "pod");
      if (port != 80) return base::Fail(base::Code::kInternal, "connect to 127.0.0.1:", port, ": Connection refused");
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return base::FailErrno(errno, "socketpair");
      accepted_.With([&](auto& all) { all.emplace_back(ends[0]); });
      return base::UniqueFd(ends[1]);
    };
    StartServer();
    client_ = Open(Url(ForwardOrder{.pod = "pod"}), "portforward.k8s.io");
  }
  struct Pair {
    uint32_t error = 0;
    uint32_t data = 0;
  };
  Pair OpenPair(const std::string& id, const std::string& port = "80") {
    Pair pair;
    pair.error = client_->connection->Open({{"streamtype", "error"}, {"port", port}, {"requestid", id}});
    client_->connection->Fin(pair.error);
    pair.data = client_->connection->Open({{"streamtype", "data"}, {"port", port}, {"requestid", id}});
    return pair;
  }
  // The next connection that came to the pod.
  base::UniqueFd Accept() {
    base::UniqueFd out;
    EXPECT_TRUE(RunUntil([&] {
      return accepted_.With([&](auto& all) {
        if (all.empty()) return false;
        out = std::move(all.front());
        all.erase(all.begin());
        return true;
      });
    }));
    return out;
  }
  std::string ReadFrom(int fd, size_t size) {
    std::string out;
    EXPECT_TRUE(RunUntil([&] {
      char piece[65536];
      const ssize_t got = read(fd, piece, sizeof piece);
      if (got > 0) out.append(piece, static_cast<size_t>(got));
      return got == 0 || out.size() >= size;
    }));
    return out;
  }
  bool AtEnd(int fd) {
    char byte = 0;
    return RunUntil([&] { return read(fd, &byte, 1) == 0; });
  }

  base::Guarded<std::vector<base::UniqueFd>> accepted_;
  std::shared_ptr<SpdyClient> client_;
};

TEST_F(PortForward, CarriesBytesBothWays) {
  const Pair pair = OpenPair("0");
  client_->connection->Send(pair.data, "question");
  const base::UniqueFd pod = Accept();
  EXPECT_EQ(ReadFrom(pod.get(), 8), "question");
  ASSERT_EQ(write(pod.get(), "answer", 6), 6);
  ASSERT_TRUE(RunUntil([&] { return client_->text[pair.data] == "answer"; }));
}

TEST_F(PortForward, EachDirectionEndsForItself) {
  const Pair pair = OpenPair("0");
  client_->connection->Send(pair.data, "all I have to say");
  client_->connection->Fin(pair.data);
  base::UniqueFd pod = Accept();
  EXPECT_EQ(ReadFrom(pod.get(), 17), "all I have to say");
  EXPECT_TRUE(AtEnd(pod.get()));
  ASSERT_EQ(write(pod.get(), "late answer", 11), 11);
  pod.Reset();
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.data) && client_->Ended(pair.error); }));
  EXPECT_EQ(client_->text[pair.data], "late answer");
  EXPECT_EQ(client_->text[pair.error], "");
  EXPECT_FALSE(client_->closed);
}

TEST_F(PortForward, PodThatEndsFirstMayStillBeWrittenTo) {
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  shutdown(pod.get(), SHUT_WR);
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.data); }));
  EXPECT_FALSE(client_->Ended(pair.error));
  client_->connection->Send(pair.data, std::string(3 << 20, 'x'));
  client_->connection->Fin(pair.data);
  EXPECT_EQ(ReadFrom(pod.get(), 3 << 20).size(), size_t{3} << 20);
  EXPECT_TRUE(AtEnd(pod.get()));
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.error); }));
}

TEST_F(PortForward, ResetOfTheDataStreamEndsTheConnectionAndTheErrorStream) {
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  client_->connection->Reset(pair.data);
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.error); }));
  EXPECT_TRUE(AtEnd(pod.get()));
}

TEST_F(PortForward, FailureIsToldAndTheNextPairWorks) {
  const Pair bad = OpenPair("0", "81");
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(bad.error) && client_->Ended(bad.data); }));
  EXPECT_EQ(client_->text[bad.error],
            "error forwarding port 81 to pod pod, uid : connect to 127.0.0.1:81: Connection refused");
  const Pair good = OpenPair("1");
  client_->connection->Send(good.data, "x");
  const base::UniqueFd pod = Accept();
  EXPECT_EQ(ReadFrom(pod.get(), 1), "x");
}

TEST_F(PortForward, StreamsWithoutASensiblePortAreReset) {
  for (const char* port : {"0", "65536", "-1", "http", ""}) {
    const uint32_t stream = client_->connection->Open({{"streamtype", "error"}, {"port", port}});
    ASSERT_TRUE(RunUntil([&] { return client_->Ended(stream); })) << port;
  }
  const uint32_t typeless = client_->connection->Open({{"port", "80"}});
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(typeless); }));
  EXPECT_TRUE(client_->replied.empty());
}

TEST_F(PortForward, ClientsOfOldNameNoRequest) {
  const uint32_t error = client_->connection->Open({{"streamtype", "error"}, {"port", "80"}});
  const uint32_t data = client_->connection->Open({{"streamtype", "data"}, {"port", "80"}});
  EXPECT_EQ(data, error + 2);
  client_->connection->Send(data, "x");
  const base::UniqueFd pod = Accept();
  EXPECT_EQ(ReadFrom(pod.get(), 1), "x");
}

TEST_F(PortForward, SecondStreamOfATypeIsTold) {
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  const uint32_t again = client_->connection->Open({{"streamtype", "data"}, {"port", "80"}, {"requestid", "0"}});
  client_->connection->Send(again, "x");
  ASSERT_TRUE(RunUntil([&] { return client_->text[pair.error] == "data stream already assigned"; }));
}

TEST_F(PortForward, EndlessNameOfARequestIsRefused) {
  const uint32_t stream =
      client_->connection->Open({{"streamtype", "data"}, {"port", "80"}, {"requestid", std::string(1000, 'x')}});
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(stream); }));
  EXPECT_TRUE(client_->replied.empty());
}

TEST_F(PortForward, ManyConnectionsThatTakeNothingKeepLittle) {
  // 64 pairs of which none is taken: alone each might keep a mebibyte, together they stop the client at 16.
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  connect_ = [gone](const std::string&, uint16_t) -> base::Result<base::UniqueFd> {
    gone.wait();
    return base::Fail(base::Code::kUnavailable, "never");
  };
  std::vector<Pair> pairs;
  for (int i = 0; i < 64; ++i) pairs.push_back(OpenPair(std::to_string(i)));
  ASSERT_TRUE(RunUntil([&] { return client_->replied.size() == 128; }));
  constexpr size_t kEach = 700 << 10;
  for (const Pair& pair : pairs) client_->connection->Send(pair.data, std::string(kEach, 'x'));
  // The kernel's buffers take some; the rest stays with the client.
  ASSERT_TRUE(Stall(*client_));
  EXPECT_GT(client_->connection->queued(), 64 * kEach - (32 << 20));
  go.set_value();
  ASSERT_TRUE(RunUntil([&] { return client_->connection->queued() == 0; }));
}

TEST_F(PortForward, HalfAPairThatIsResetIsForgotten) {
  const uint32_t lost = client_->connection->Open({{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}});
  client_->connection->Reset(lost);
  // A new stream would overtake it.
  ASSERT_TRUE(RunUntil([&] { return client_->connection->queued() == 0; }));
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  client_->connection->Reset(pair.data);
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.error); }));
  EXPECT_EQ(client_->text[pair.error], "");
}

TEST_F(PortForward, ConnectionsThatHangHoldUpNoOtherClient) {
  std::promise<void> go;
  connect_ = [gone = go.get_future().share()](const std::string&, uint16_t) -> base::Result<base::UniqueFd> {
    gone.wait();
    return base::Fail(base::Code::kUnavailable, "never");
  };
  server_.reset();
  work_ = std::make_unique<base::Executor>(base::Executor::Options{.name = "work", .threads = 12});
  StartServer();
  client_ = Open(Url(ForwardOrder{.pod = "pod"}), "portforward.k8s.io");
  std::vector<Pair> pairs;
  for (int i = 0; i < 30; ++i) pairs.push_back(OpenPair(std::to_string(i)));
  ASSERT_TRUE(RunUntil([&] { return client_->replied.size() == 60; }));
  const auto exec = Open(Url(Sh("echo hi", {.output = true})));
  exec->connection->Open({{"streamtype", "error"}});
  const uint32_t output = exec->connection->Open({{"streamtype", "stdout"}});
  ASSERT_TRUE(RunUntil([&] { return exec->closed; }));
  EXPECT_EQ(exec->text[output], "hi\n");
  client_->connection->Reset(pairs.back().data);  // one that has not had its turn
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(pairs.back().error); }));
  EXPECT_EQ(client_->text[pairs.back().error], "");
  go.set_value();
  for (const Pair& pair : pairs) ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.error); }));
  EXPECT_THAT(client_->text[pairs[28].error], HasSubstr("never"));
}

TEST_F(PortForward, ClientThatLeavesWhileThePodTakesNothingLetsGoOfThePod) {
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  client_->connection->Send(pair.data, std::string(16 << 20, 'x'));
  ASSERT_TRUE(Stall(*client_));
  EXPECT_FALSE(IsClosed(pod.get()));
  client_->connection->Abort({});
  EXPECT_TRUE(RunUntil([&] { return IsClosed(pod.get()); }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(PortForward, HalfAPairIsForgotten) {
  server_->Stop();
  options_.creation = std::chrono::milliseconds(200);
  StartServer();
  client_ = Open(Url(ForwardOrder{.pod = "pod"}), "portforward.k8s.io");
  const uint32_t error = client_->connection->Open({{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}});
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(error); }));
  EXPECT_THAT(client_->text[error], HasSubstr("did not open both streams in time"));
}

TEST_F(PortForward, AThousandShortConnectionsLeaveNoDescriptor) {
  const auto count = [] { return base::ListFolder("/proc/self/fd")->size(); };
  const size_t before = count();
  for (int i = 0; i < 1000; ++i) {
    const Pair pair = OpenPair(std::to_string(i));
    client_->connection->Send(pair.data, "ping");
    base::UniqueFd pod = Accept();
    ASSERT_EQ(ReadFrom(pod.get(), 4), "ping");
    ASSERT_EQ(write(pod.get(), "pong", 4), 4);
    pod.Reset();
    ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.data); }));
    client_->connection->Reset(pair.data);
    ASSERT_TRUE(RunUntil([&] { return client_->Ended(pair.error); })) << i;
    client_->order.clear();
  }
  EXPECT_TRUE(RunUntil([&] { return count() <= before; }));
  EXPECT_EQ(client_->connection->streams(), 0u);
}

TEST_F(PortForward, SlowConnectionHoldsUpNoOther) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  const auto connect = connect_;
  connect_ = [&, gone](const std::string& pod, uint16_t port) -> base::Result<base::UniqueFd> {
    if (port == 79) gone.wait();
    return connect(pod, port);
  };
  const Pair slow = OpenPair("slow", "79");
  client_->connection->Send(slow.data, "kept");
  const Pair quick = OpenPair("quick");
  client_->connection->Send(quick.data, "x");
  const base::UniqueFd pod = Accept();
  EXPECT_EQ(ReadFrom(pod.get(), 1), "x");
  go.set_value();
  ASSERT_TRUE(RunUntil([&] { return client_->Ended(slow.error); }));
}

TEST_F(PortForward, EndOfThePodClosesTheConnection) {
  const Pair pair = OpenPair("0");
  const base::UniqueFd pod = Accept();
  server_->ClosePod("another");
  client_->connection->Send(pair.data, "x");
  EXPECT_EQ(ReadFrom(pod.get(), 1), "x");
  server_->ClosePod("pod");
  ASSERT_TRUE(RunUntil([&] { return client_->closed; }));
  EXPECT_TRUE(AtEnd(pod.get()));
}

TEST_F(PortForward, PodThatHasEndedIsRefusedBeforeTheUpgrade) {
  const std::string url = Url(ForwardOrder{.pod = "pod"});
  ASSERT_TRUE(RunUntil([&] { return server_->sessions() == 1; }));  // the fixture's has been asked for
  pod_is_ready_ = [] { return false; };
  EXPECT_EQ(Send(url, "POST", SpdyHeaders("portforward.k8s.io")).status(), 404);
}

TEST_F(PortForward, EndOfThePodMissesNoSessionThatIsBeingMade) {
  ASSERT_TRUE(RunUntil([&] { return server_->sessions() == 1; }));  // the fixture's has been asked for
  // It ends between the look at the request and the making of the session: there is nothing to close yet.
  pod_is_ready_ = [this, asked = 0]() mutable {
    if (asked++ > 0) return false;
    server_->ClosePod("pod");
    return true;
  };
  Upgrade upgrade = Send(Url(ForwardOrder{.pod = "pod"}), "POST", SpdyHeaders("portforward.k8s.io"));
  EXPECT_EQ(upgrade.status(), 101);
  boost::system::error_code error;
  asio::read(*upgrade.socket, asio::dynamic_buffer(upgrade.rest), error);
  EXPECT_EQ(error, asio::error::eof);
}

TEST_F(PortForward, EndOfThePodClosesAConnectionThatIsBeingMade) {
  std::promise<void> asked;
  std::promise<void> go;
  const auto connect = connect_;
  connect_ = [&](const std::string& pod, uint16_t port) {
    asked.set_value();
    go.get_future().wait();
    return connect(pod, port);
  };
  OpenPair("0");
  std::future<void> connecting = asked.get_future();
  ASSERT_TRUE(RunUntil([&] { return connecting.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
  server_->ClosePod("pod");
  ASSERT_TRUE(RunUntil([&] { return client_->closed; }));
  go.set_value();
  const base::UniqueFd pod = Accept();
  EXPECT_TRUE(AtEnd(pod.get()));
}

}  // namespace
}  // namespace berth::streaming
