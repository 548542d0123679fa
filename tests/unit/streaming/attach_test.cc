// Attach, with the other end of a socket pair as the container's monitor.
#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

using testing::HasSubstr;

class Attach : public StreamingTest {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    monitor_.Reset(ends[0]);
    theirs_.Reset(ends[1]);
    attach_ = [this](const AttachOrder&) -> base::Result<Attachment> {
      return Attachment{.packets = std::move(theirs_),
                        .takes_input = takes_input_,
                        .resize = [this](uint16_t columns, uint16_t rows) {
                          sizes_.With([&](auto& all) { all.emplace_back(columns, rows); });
                        }};
    };
    StartServer();
  }
  void Tell(PacketKind kind, std::string_view data = {}) {
    const std::string packet = std::string(1, static_cast<char>(kind)) + std::string(data);
    ASSERT_EQ(send(monitor_.get(), packet.data(), packet.size(), MSG_NOSIGNAL), static_cast<ssize_t>(packet.size()));
  }
  // The next packet; "" when the other side has shut down.
  std::string Hear() {
    std::string packet(kPacketData + 1, '\0');
    ssize_t got = -1;
    EXPECT_TRUE(RunUntil([&] { return (got = recv(monitor_.get(), packet.data(), packet.size(), 0)) >= 0; }));
    packet.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return packet;
  }
  std::shared_ptr<SpdyClient> Start(const Streams& streams) {
    const auto client = Open(Url(AttachOrder{.container = "c", .streams = streams}));
    const auto open = [&](const char* type) { return client->connection->Open({{"streamtype", type}}); };
    error_ = open("error");
    if (streams.input) input_ = open("stdin");
    if (streams.output) output_ = open("stdout");
    if (streams.errors) errors_ = open("stderr");
    if (streams.tty) size_ = open("resize");
    return client;
  }

  base::UniqueFd monitor_;
  base::UniqueFd theirs_;
  bool takes_input_ = true;
  base::Guarded<std::vector<std::pair<uint16_t, uint16_t>>> sizes_;
  uint32_t error_ = 0, input_ = 0, output_ = 0, errors_ = 0, size_ = 0;
};

TEST_F(Attach, CarriesBothOutputsUntilTheContainerEnds) {
  const auto client = Start({.output = true, .errors = true});
  Tell(PacketKind::kOutput, "out");
  Tell(PacketKind::kErrors, "err");
  Tell(PacketKind::kEnded);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_EQ(client->text[output_], "out");
  EXPECT_EQ(client->text[errors_], "err");
  EXPECT_THAT(client->text[error_], HasSubstr("\"Success\""));
}

TEST_F(Attach, InputAndItsEndArePassedOn) {
  const auto client = Start({.input = true, .output = true});
  client->connection->Send(input_, std::string(40'000, 'x'));
  client->connection->Fin(input_);
  size_t total = 0;
  while (total < 40'000) {
    const std::string packet = Hear();
    ASSERT_GT(packet.size(), 1u);
    ASSERT_LE(packet.size(), 1 + kPacketData);
    EXPECT_EQ(packet[0], '\0');
    total += packet.size() - 1;
  }
  EXPECT_EQ(Hear(), "");
  Tell(PacketKind::kOutput, "goes on");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "goes on"; }));
  Tell(PacketKind::kEnded);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
}

TEST_F(Attach, InputForAContainerWithoutOneIsDropped) {
  takes_input_ = false;
  const auto client = Start({.input = true, .output = true});
  client->connection->Send(input_, std::string(10 << 20, 'x'));
  client->connection->Fin(input_);
  ASSERT_TRUE(RunUntil([&] { return client->connection->queued() == 0; }));
  Tell(PacketKind::kOutput, "still there");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "still there"; }));
}

TEST_F(Attach, InputThatIsWantedNoMoreIsDropped) {
  const auto client = Start({.input = true, .output = true});
  Tell(PacketKind::kOutput, "x");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "x"; }));
  ASSERT_EQ(shutdown(monitor_.get(), SHUT_RD), 0);
  client->connection->Send(input_, std::string(10 << 20, 'x'));
  ASSERT_TRUE(RunUntil([&] { return client->connection->queued() == 0; }));
  Tell(PacketKind::kEnded);
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
}

TEST_F(Attach, MonitorThatClosesWithoutAWordIsAFailure) {
  const auto client = Start({.output = true});
  Tell(PacketKind::kOutput, "x");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "x"; }));
  monitor_.Reset();
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_THAT(client->text[error_], HasSubstr("error attaching to container: "));
}

TEST_F(Attach, RefusalIsTold) {
  attach_ = [](const AttachOrder&) -> base::Result<Attachment> {
    return base::Fail(base::Code::kFailedPrecondition, "too late");
  };
  const auto client = Start({.output = true});
  ASSERT_TRUE(RunUntil([&] { return client->closed; }));
  EXPECT_THAT(client->text[error_], HasSubstr("Internal error occurred: error attaching to container: too late"));
}

TEST_F(Attach, SizesArePassedOn) {
  const auto client = Start({.tty = true, .input = true, .output = true});
  client->connection->Send(size_, "{\"Width\":80,\"Height\":24}\n");
  ASSERT_TRUE(RunUntil([&] { return sizes_.With([](const auto& all) { return !all.empty(); }); }));
  client->connection->Send(size_, "{\"Width\":100,\"Height\":30}\n");
  ASSERT_TRUE(RunUntil([&] {
    return sizes_.With([](const auto& all) { return all.back() == std::pair<uint16_t, uint16_t>(100, 30); });
  }));
}

TEST_F(Attach, ClientThatLeavesLetsGoOfTheMonitor) {
  const auto client = Start({.input = true, .output = true});
  Tell(PacketKind::kOutput, "x");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "x"; }));
  client->connection->Abort({});
  EXPECT_EQ(Hear(), "");
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(Attach, ClientThatLeavesWhileItsInputWaitsLetsGoOfTheMonitor) {
  const auto client = Start({.input = true, .output = true});
  client->connection->Send(input_, std::string(16 << 20, 'x'));
  ASSERT_TRUE(Stall(*client));
  EXPECT_FALSE(IsClosed(monitor_.get()));
  client->connection->Abort({});
  EXPECT_TRUE(RunUntil([&] { return IsClosed(monitor_.get()); }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(Attach, StalledClientLeavesThePacketsWhereTheyAre) {
  const auto client = Start({.output = true});
  Tell(PacketKind::kOutput, "x");
  ASSERT_TRUE(RunUntil([&] { return client->text[output_] == "x"; }));
  client->connection->PauseReading();
  // Fill until nothing is taken for a while: the monitor would drop the client now. 1 GB at most.
  const std::string packet(1 + kPacketData, static_cast<char>(PacketKind::kOutput));
  size_t sent = 0;
  auto since = base::Monotonic::now();
  while (base::Monotonic::now() - since < std::chrono::milliseconds(300) && sent < (1u << 30)) {
    if (send(monitor_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) > 0) {
      sent += packet.size();
      since = base::Monotonic::now();
    }
  }
  EXPECT_LT(sent, size_t{64} << 20);
}

}  // namespace
}  // namespace berth::streaming
