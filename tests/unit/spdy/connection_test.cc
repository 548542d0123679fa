// Two connections over loopback on one loop, and one against bytes written by hand.
#include "spdy/connection.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>

#include "base/unique_fd.h"

namespace berth::spdy {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::ElementsAre;

struct User : ConnectionUser {
  void OnStream(uint32_t stream, const Headers& headers, bool) override {
    opened.push_back(stream);
    if (const std::string* type = Find(headers, "streamtype")) types.push_back(*type);
    if (on_stream) on_stream(stream);
  }
  void OnReply(uint32_t stream) override { replied.push_back(stream); }
  void OnData(uint32_t stream, std::string_view data) override {
    text[stream] += data;
    if (on_data) on_data(stream);
  }
  int PipeOf(uint32_t) override { return pipe; }
  void OnPipeFull(uint32_t) override {
    if (on_pipe_full) on_pipe_full();
  }
  void OnFin(uint32_t stream) override { ended.push_back(stream); }
  void OnReset(uint32_t stream) override { reset.push_back(stream); }
  void OnDrained() override {
    ++drained;
    if (on_drained) on_drained();
  }
  void OnClosed(const base::Status& why) override { closed = why; }

  std::vector<uint32_t> opened, replied, ended, reset;
  std::vector<std::string> types;
  std::map<uint32_t, std::string> text;
  int drained = 0;
  std::optional<base::Status> closed;
  std::function<void(uint32_t)> on_stream, on_data;
  std::function<void()> on_drained, on_pipe_full;
  int pipe = -1;
};

class SpdyConnection : public testing::Test {
 protected:
  void SetUp() override {
    tcp::acceptor acceptor(loop_, {asio::ip::address_v4::loopback(), 0});
    peer_socket_.connect(acceptor.local_endpoint());
    acceptor.accept(our_socket_);
  }
  void StartServer() {
    server_ = std::make_shared<Connection>(std::make_unique<SocketTransport>(Socket(std::move(our_socket_))), options_);
    server_->Start(server_user_);
  }
  void StartBoth() {
    StartServer();
    Connection::Options options = options_;
    options.role = Connection::Role::kClient;
    client_ = std::make_shared<Connection>(std::make_unique<SocketTransport>(Socket(std::move(peer_socket_))), options);
    client_->Start(client_user_);
  }
  // Runs the loop until `done`; false after a generous while.
  bool RunUntil(const std::function<bool()>& done) {
    const auto limit = base::Monotonic::now() + std::chrono::seconds(20);
    while (!done()) {
      loop_.restart();
      if (loop_.run_one_until(limit) == 0 && base::Monotonic::now() >= limit) return false;
    }
    return true;
  }
  // Raw bytes from the server, as many as wanted.
  std::string Receive(size_t size) {
    std::string out(size, '\0');
    bool done = false;
    asio::async_read(peer_socket_, asio::buffer(out), [&](auto, size_t got) {
      out.resize(got);
      done = true;
    });
    EXPECT_TRUE(RunUntil([&] { return done; }));
    return out;
  }
  void Write(const std::string& bytes) { asio::write(peer_socket_, asio::buffer(bytes)); }

  asio::io_context loop_;
  tcp::socket our_socket_{loop_};
  tcp::socket peer_socket_{loop_};
  Connection::Options options_;
  std::shared_ptr<User> server_user_ = std::make_shared<User>();
  std::shared_ptr<User> client_user_ = std::make_shared<User>();
  std::shared_ptr<Connection> server_;
  std::shared_ptr<Connection> client_;
};

TEST_F(SpdyConnection, StreamsCarryDataBothWaysAndEnd) {
  server_user_->on_stream = [&](uint32_t stream) {
    server_->Reply(stream);
    server_->Send(stream, "hello");
    server_->Fin(stream);
  };
  StartBoth();
  const uint32_t stream = client_->Open({{"streamtype", "stdin"}});
  client_->Send(stream, "abc");
  client_->Fin(stream);
  ASSERT_TRUE(RunUntil([&] { return client_user_->ended.size() == 1 && server_user_->ended.size() == 1; }));
  EXPECT_EQ(stream, 1u);
  EXPECT_THAT(server_user_->types, ElementsAre("stdin"));
  EXPECT_THAT(client_user_->replied, ElementsAre(1u));
  EXPECT_EQ(server_user_->text[1], "abc");
  EXPECT_EQ(client_user_->text[1], "hello");
  EXPECT_EQ(client_->streams(), 0u);
  EXPECT_EQ(server_->streams(), 0u);
}

TEST_F(SpdyConnection, SixtyFourMegabytesPassWithoutAWindow) {
  constexpr size_t kTotal = 64 << 20;
  size_t sent = 0;
  const std::function<void()> more = [&] {
    while (sent < kTotal && server_->queued() < (256 << 10)) {
      server_->Send(1, std::string(100'000, static_cast<char>('a' + sent / 100'000 % 26)));
      sent += 100'000;
    }
  };
  server_user_->on_stream = [&](uint32_t stream) {
    server_->Reply(stream);
    more();
  };
  server_user_->on_drained = more;
  StartBoth();
  client_->Open({});
  size_t got = 0;
  bool right = true;
  client_user_->on_data = [&](uint32_t stream) {
    for (const char c : client_user_->text[stream]) right = right && c == static_cast<char>('a' + got++ / 100'000 % 26);
    client_user_->text[stream].clear();
  };
  ASSERT_TRUE(RunUntil([&] { return got >= kTotal; }));
  EXPECT_TRUE(right);
  EXPECT_LT(server_->queued(), size_t{1} << 20);
}

TEST_F(SpdyConnection, SynStreamsBeforeAnyReplyAreAllTaken) {
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  StartBoth();
  for (int i = 0; i < 3; ++i) client_->Open({{"streamtype", "error"}});
  ASSERT_TRUE(RunUntil([&] { return client_user_->replied.size() == 3; }));
  EXPECT_THAT(client_user_->replied, ElementsAre(1u, 3u, 5u));
}

TEST_F(SpdyConnection, PingIsAnsweredBeforeQueuedData) {
  server_user_->on_stream = [&](uint32_t stream) {
    server_->Reply(stream);
    server_->Send(stream, std::string(3 << 20, 'x'));  // more than the kernel's buffers take
  };
  our_socket_.set_option(asio::socket_base::send_buffer_size(64 << 10));
  peer_socket_.set_option(asio::socket_base::receive_buffer_size(64 << 10));
  StartServer();
  HeaderDeflater deflater;
  Write(SynStream(1, 0, deflater.Deflate({})));
  ASSERT_TRUE(RunUntil([&] { return !server_user_->opened.empty(); }));
  Write(Ping(11));
  // Read frames until the answer is there.
  struct Finder final : FrameVisitor {
    base::Status OnControl(const Control& control) override {
      if (control.type == FrameType::kPing) ping = control.value;
      return {};
    }
    base::Status OnData(uint32_t, std::string_view piece, bool) override {
      data += piece.size();
      return {};
    }
    uint32_t ping = 0;
    size_t data = 0;
  } finder;
  FrameReader reader(finder);
  while (finder.ping == 0 && finder.data < (3 << 20)) ASSERT_TRUE(reader.Feed(Receive(1000)));
  EXPECT_EQ(finder.ping, 11u);
  EXPECT_LT(finder.data, size_t{2} << 20);
}

TEST_F(SpdyConnection, OwnPingIsNotEchoedAgain) {
  StartServer();
  Write(Ping(2) + Ping(3));
  EXPECT_EQ(Receive(12), Ping(3));
}

TEST_F(SpdyConnection, BadStreamsAreResetAndTheRestGoesOn) {
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  options_.max_streams = 2;
  StartServer();
  HeaderDeflater deflater;
  const std::string protocol_error = RstStream(1, ResetStatus::kProtocolError);
  Write(SynStream(1, 0, deflater.Deflate({{"Upper", "x"}})));
  EXPECT_EQ(Receive(16), protocol_error);
  Write(SynStream(1, 0, deflater.Deflate({})));  // not a new number
  EXPECT_EQ(Receive(16), protocol_error);
  Write(SynStream(2, 0, deflater.Deflate({})));  // a server's number
  EXPECT_EQ(Receive(16), RstStream(2, ResetStatus::kProtocolError));
  for (const uint32_t stream : {3u, 5u, 7u}) Write(SynStream(stream, 0, deflater.Deflate({})));
  ASSERT_TRUE(RunUntil([&] { return server_user_->opened.size() == 2; }));
  EXPECT_THAT(server_user_->opened, ElementsAre(3u, 5u));
}

TEST_F(SpdyConnection, DataAfterTheEndResetsTheStream) {
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  StartServer();
  HeaderDeflater deflater;
  char head[kHeadSize];
  DataHead(1, 0, 1, head);
  Write(SynStream(1, kFlagFin, deflater.Deflate({})) + std::string(head, sizeof head) + "x");
  ASSERT_TRUE(RunUntil([&] { return !server_user_->reset.empty(); }));
  EXPECT_EQ(server_->streams(), 0u);
  EXPECT_TRUE(server_user_->text.empty());
}

TEST_F(SpdyConnection, BreachOfTheProtocolEndsWithGoAway) {
  StartServer();
  Write(std::string("\0\0\0\0\0\0\0\1x", 9));  // data for stream 0
  EXPECT_EQ(Receive(16), GoAway(0, GoAwayStatus::kProtocolError));
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
}

TEST_F(SpdyConnection, FinishDeliversWhatIsQueuedThoughThePeerSendsOn) {
  const std::string much(8 << 20, 'x');
  server_user_->on_stream = [&](uint32_t stream) {
    server_->Reply(stream);
    server_->Send(stream, much);
    server_->Fin(stream);
    server_->Finish();
  };
  StartBoth();
  const uint32_t stream = client_->Open({});
  client_->Send(stream, std::string(4 << 20, 'y'));
  ASSERT_TRUE(RunUntil([&] { return client_user_->closed.has_value() && server_user_->closed.has_value(); }));
  EXPECT_EQ(client_user_->text[stream].size(), much.size());
  EXPECT_THAT(client_user_->ended, ElementsAre(stream));
}

TEST_F(SpdyConnection, OpenStreamsAreResetAtTheEndBehindTheirData) {
  server_user_->on_stream = [&](uint32_t stream) {
    server_->Reply(stream);
    server_->Send(stream, "last words");
    server_->Finish();
  };
  StartBoth();
  const uint32_t stream = client_->Open({});
  ASSERT_TRUE(RunUntil([&] { return client_user_->closed.has_value(); }));
  EXPECT_EQ(client_user_->text[stream], "last words");
  EXPECT_THAT(client_user_->reset, ElementsAre(stream));
}

TEST_F(SpdyConnection, PausedReaderTakesNoMore) {
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  server_user_->on_data = [&](uint32_t) { server_->PauseReading(); };
  StartBoth();
  const uint32_t stream = client_->Open({});
  client_->Send(stream, std::string(16 << 20, 'x'));
  ASSERT_TRUE(RunUntil([&] { return !server_user_->text[stream].empty(); }));
  while (loop_.poll() > 0) {
  }
  EXPECT_LE(server_user_->text[stream].size(), kReadSize);
  server_user_->on_data = nullptr;
  server_->ResumeReading();
  ASSERT_TRUE(RunUntil([&] { return server_user_->text[stream].size() == (16 << 20); }));
}

// A stream with so much data that some of it stays in the socket when reading is paused at the first piece.
class SpdyPaused : public SpdyConnection {
 protected:
  void SetUp() override {
    SpdyConnection::SetUp();
    server_user_->on_data = [&](uint32_t) { server_->PauseReading(); };
    options_.idle = std::chrono::seconds(3);
    options_.linger = std::chrono::milliseconds(10);
    StartServer();
    HeaderDeflater deflater;
    char head[kHeadSize];
    DataHead(1, 0, kSize, head);
    Write(SynStream(1, 0, deflater.Deflate({})) + std::string(head, sizeof head) + std::string(kSize, 'x'));
    EXPECT_TRUE(RunUntil([&] { return !server_user_->text[1].empty(); }));
    while (loop_.poll() > 0) {
    }
    EXPECT_LT(server_user_->text[1].size(), size_t{kSize});
    EXPECT_FALSE(server_user_->closed.has_value());
  }
  void LeaveAtOnce() {
    peer_socket_.set_option(asio::socket_base::linger(true, 0));
    peer_socket_.close();
  }
  static constexpr uint32_t kSize = 1 << 20;
};

TEST_F(SpdyPaused, PeerThatClosesIsNoticed) {
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
  EXPECT_FALSE(*server_user_->closed);
  EXPECT_LT(server_user_->text[1].size(), size_t{kSize});
}

TEST_F(SpdyPaused, PeerThatBreaksOffIsNoticed) {
  LeaveAtOnce();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
  EXPECT_FALSE(*server_user_->closed);
}

TEST_F(SpdyPaused, WatchingDoesNotKeepItFromBeingIdle) {
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
}

TEST_F(SpdyPaused, WriteThatBreaksEndsIt) {
  server_->Reply(1);
  server_->Send(1, std::string(16 << 20, 'x'));
  EXPECT_GT(server_->queued(), 0u);
  LeaveAtOnce();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
  EXPECT_FALSE(*server_user_->closed);
  EXPECT_EQ(server_->queued(), 0u);
}

TEST_F(SpdyPaused, PeerThatClosesOnceReadingGoesOnIsReadToTheEnd) {
  server_user_->on_data = nullptr;
  server_->ResumeReading();
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
  EXPECT_TRUE(*server_user_->closed);
  EXPECT_EQ(server_user_->text[1].size(), size_t{kSize});
}

TEST_F(SpdyConnection, PipeThatIsFullIsWaitedForThoughTheSocketIsEmpty) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const base::UniqueFd out(ends[0]);
  const base::UniqueFd in(ends[1]);
  ASSERT_EQ(fcntl(in.get(), F_SETPIPE_SZ, 4096), 4096);  // whatever its size, one piece fills it
  server_user_->pipe = in.get();
  bool full = false;
  server_user_->on_pipe_full = [&] {
    full = true;
    server_->PauseReading();
  };
  StartServer();
  HeaderDeflater deflater;
  char head[kHeadSize];
  DataHead(1, 0, 100'000, head);
  Write(SynStream(1, 0, deflater.Deflate({})) + std::string(head, sizeof head));
  ASSERT_TRUE(RunUntil([&] { return !server_user_->opened.empty(); }));
  Write(std::string(100, 'x'));
  ASSERT_TRUE(RunUntil([&] { return full; }));
  EXPECT_EQ(server_user_->text[1], "");
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
}

TEST_F(SpdyConnection, BigFramesGoIntoThePipeAndWhatComesBehindThemIsSeen) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const base::UniqueFd out(ends[0]);
  const base::UniqueFd in(ends[1]);
  ASSERT_GE(fcntl(in.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
  server_user_->pipe = in.get();
  StartServer();
  HeaderDeflater deflater;
  constexpr uint32_t kSize = 60'000;
  char head[kHeadSize];
  DataHead(1, 0, kSize, head);
  const std::string start(head, sizeof head);
  Write(SynStream(1, 0, deflater.Deflate({})) + start);
  ASSERT_TRUE(RunUntil([&] { return !server_user_->opened.empty(); }));
  const auto in_pipe = [&] {
    int size = 0;
    return ioctl(out.get(), FIONREAD, &size) == 0 ? static_cast<size_t>(size) : 0;
  };
  Write(std::string(kSize, 'x'));
  ASSERT_TRUE(RunUntil([&] { return in_pipe() == kSize; }));
  Write(start + std::string(kSize, 'y') + Ping(1));
  EXPECT_EQ(Receive(kHeadSize + 4), Ping(1));
  EXPECT_EQ(in_pipe(), 2 * size_t{kSize});
  EXPECT_EQ(server_user_->text[1], "");
  Write(start + std::string(kSize, 'z'));
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
  EXPECT_TRUE(*server_user_->closed);
  EXPECT_EQ(in_pipe() + server_user_->text[1].size(), 3 * size_t{kSize});
}

TEST_F(SpdyConnection, SocketThatWasMovedFromClosesNothing) {
  Socket from(std::move(our_socket_));
  Socket to(std::move(from));
  from.Close();  // NOLINT: as a timer does that was due already
  EXPECT_TRUE(to.tcp().is_open());
  to.Close();
  EXPECT_FALSE(to.tcp().is_open());
}

TEST_F(SpdyConnection, ReadingThatIsResumedInACallLeavesWhatIsBeingReadAlone) {
  StartBoth();
  const uint32_t stream = client_->Open({});
  std::string sent;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece(1000, static_cast<char>('a' + i % 26));
    client_->Send(stream, piece);
    sent += piece;
  }
  client_->Fin(stream);
  server_user_->on_data = [&](uint32_t) {
    server_->PauseReading();
    server_->ResumeReading();
  };
  ASSERT_TRUE(RunUntil([&] { return server_user_->ended.size() == 1 || server_user_->closed; }));
  EXPECT_TRUE(server_user_->text[stream] == sent);
}

TEST_F(SpdyConnection, StreamsBeyondTheLimitAreRefusedUntilOthersHaveEnded) {
  options_.max_streams = 2;
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  StartBoth();
  const uint32_t first = client_->Open({{"streamtype", "error"}});
  client_->Open({{"streamtype", "error"}});
  const uint32_t refused = client_->Open({{"streamtype", "error"}});
  ASSERT_TRUE(RunUntil([&] { return client_user_->replied.size() == 2 && client_user_->reset.size() == 1; }));
  EXPECT_THAT(client_user_->reset, ElementsAre(refused));
  client_->Reset(first);
  // Its block was read all the same, or this one could not be.
  const uint32_t later = client_->Open({{"streamtype", "stdin"}});
  ASSERT_TRUE(RunUntil([&] { return client_user_->replied.size() == 3; }));
  EXPECT_EQ(client_user_->replied.back(), later);
  EXPECT_EQ(server_user_->types.back(), "stdin");
}

TEST_F(SpdyConnection, PeerThatReadsNothingCannotMakeTheQueueGrow) {
  StartServer();
  std::string pings;
  for (uint32_t i = 1; i < 20'000; i += 2) pings += Ping(i);
  peer_socket_.non_blocking(true);
  // Until neither side takes more: 200 MB of pings at most.
  boost::system::error_code error;
  size_t written = 0;
  for (int quiet = 0; quiet < 50 && written < (200 << 20);) {
    const size_t now = peer_socket_.write_some(asio::buffer(pings.substr(written % 12)), error);
    written += error ? 0 : now;
    quiet = error ? quiet + 1 : 0;
    loop_.poll();
    EXPECT_LT(server_->queued(), size_t{5} << 20);
  }
  EXPECT_LT(written, size_t{200} << 20);
}

TEST_F(SpdyConnection, IdleConnectionEnds) {
  options_.idle = std::chrono::milliseconds(50);
  StartBoth();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value() && client_user_->closed.has_value(); }));
}

TEST_F(SpdyConnection, GoAwayOfThePeerClosesOnceItsStreamsAreGone) {
  server_user_->on_stream = [&](uint32_t stream) { server_->Reply(stream); };
  StartServer();
  HeaderDeflater deflater;
  Write(SynStream(1, 0, deflater.Deflate({})) + GoAway(0, GoAwayStatus::kOk));
  ASSERT_TRUE(RunUntil([&] { return !server_user_->opened.empty(); }));
  while (loop_.poll() > 0) {
  }
  EXPECT_FALSE(server_user_->closed.has_value());
  Write(RstStream(1, ResetStatus::kCancel));
  ASSERT_TRUE(RunUntil([&] { return !server_user_->reset.empty(); }));
  peer_socket_.close();
  ASSERT_TRUE(RunUntil([&] { return server_user_->closed.has_value(); }));
}

}  // namespace
}  // namespace berth::spdy
