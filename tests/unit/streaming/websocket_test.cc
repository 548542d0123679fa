// The same over WebSocket, with Beast's client.
#include <atomic>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "server/streaming/websocket_channels.h"
#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

namespace websocket = boost::beast::websocket;
using testing::HasSubstr;

class WebSocketTest : public StreamingTest {
 protected:
  using Stream = websocket::stream<tcp::socket>;

  std::unique_ptr<Stream> Connect(const std::string& url, const std::string& protocols) {
    tcp::socket socket(loop_);
    socket.connect({asio::ip::make_address("127.0.0.1"), PortOf(url)});
    auto out = std::make_unique<Stream>(std::move(socket));
    out->set_option(websocket::stream_base::decorator([protocols](websocket::request_type& request) {
      if (!protocols.empty()) request.set(boost::beast::http::field::sec_websocket_protocol, protocols);
    }));
    websocket::response_type response;
    boost::system::error_code error;
    out->handshake(response, "x", PathOf(url), error);
    chosen_ = std::string(response[boost::beast::http::field::sec_websocket_protocol]);
    return error ? nullptr : std::move(out);
  }
  void Write(Stream& stream, uint8_t channel, std::string_view data) {
    stream.text(protocol_.base64);
    stream.write(asio::buffer(EncodeMessage(protocol_, channel, data)));
  }
  // Reads until the server closes; what came on each channel.
  std::map<int, std::string> ReadAll(Stream& stream) {
    std::map<int, std::string> out;
    while (true) {
      boost::beast::flat_buffer buffer;
      boost::system::error_code error;
      stream.read(buffer, error);
      if (error) {
        EXPECT_EQ(error, websocket::error::closed);
        EXPECT_EQ(stream.reason().code, websocket::close_code::normal);
        return out;
      }
      const auto message = DecodeMessage(protocol_, boost::beast::buffers_to_string(buffer.data()), stream.got_text());
      EXPECT_TRUE(message);
      if (message) out[message->channel] += message->data;
    }
  }

  ChannelProtocol protocol_{.version = 5};
  std::string chosen_;
};

TEST_F(WebSocketTest, WhoOnlyListensIsNotIdleWhileSomethingComes) {
  server_.reset();
  options_.idle = std::chrono::seconds(2);
  StartServer();
  const auto stream =
      Connect(Url(Sh("for i in 1 2 3 4 5 6 7 8; do sleep 0.4; echo $i; done", {.output = true})), "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  const auto got = ReadAll(*stream);
  EXPECT_EQ(got.at(1), "1\n2\n3\n4\n5\n6\n7\n8\n");
  EXPECT_THAT(got.at(3), HasSubstr("Success"));
}

TEST_F(WebSocketTest, WithoutAFrameItIsEnded) {
  server_.reset();
  options_.idle = std::chrono::milliseconds(300);
  StartServer();
  const auto stream = Connect(Url(Sh("cat", {.input = true, .output = true})), "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  boost::beast::flat_buffer buffer;
  boost::system::error_code error;
  while (!error) stream->read(buffer, error);
  EXPECT_NE(error, websocket::error::closed);
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(WebSocketTest, VersionFiveClosesTheInputAndGetsTheStatus) {
  const auto stream = Connect(Url(Sh("cat; echo err >&2; exit 4", {.input = true, .output = true, .errors = true})),
                              "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  EXPECT_EQ(chosen_, "v5.channel.k8s.io");
  Write(*stream, 0, "text");
  stream->binary(true);
  stream->write(asio::buffer("\xff\0", 2));
  const auto all = ReadAll(*stream);
  EXPECT_EQ(all.at(1), "text");
  EXPECT_EQ(all.at(2), "err\n");
  EXPECT_THAT(all.at(3), HasSubstr(R"("message":"4","reason":"ExitCode")"));
}

TEST_F(WebSocketTest, EveryOldFormWorks) {
  const std::map<std::string, ChannelProtocol> forms = {{"", {.version = 1}},
                                                        {"channel.k8s.io", {.version = 1}},
                                                        {"base64.channel.k8s.io", {.version = 1, .base64 = true}},
                                                        {"v4.channel.k8s.io", {.version = 4}},
                                                        {"v4.base64.channel.k8s.io", {.version = 4, .base64 = true}}};
  for (const auto& [name, protocol] : forms) {
    protocol_ = protocol;
    const auto stream = Connect(Url(Sh("read x; echo $x; exit 4", {.input = true, .output = true})), name);
    ASSERT_TRUE(stream) << name;
    EXPECT_EQ(chosen_, name);
    Write(*stream, 0, "line\n");
    const auto all = ReadAll(*stream);
    EXPECT_EQ(all.at(1), "line\n") << name;
    EXPECT_THAT(all.at(3), HasSubstr(protocol.version >= 4 ? "\"NonZeroExitCode\"" : "exit code 4")) << name;
    EXPECT_EQ(all.at(3)[0] == '{', protocol.version >= 4) << name;
  }
}

TEST_F(WebSocketTest, FirstMessageIsEmptyAndOnTheFirstOutput) {
  for (const bool output : {true, false}) {
    const auto stream =
        Connect(Url(Sh("cat", {.input = true, .output = output, .errors = !output})), "v5.channel.k8s.io");
    ASSERT_TRUE(stream);
    boost::beast::flat_buffer buffer;
    stream->read(buffer);
    EXPECT_EQ(boost::beast::buffers_to_string(buffer.data()), output ? "\1" : "\2");
  }
}

TEST_F(WebSocketTest, UnsupportedProtocolIsForbidden) {
  const auto headers = [](const std::string& protocol) {
    return "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
           "dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Protocol: " +
           protocol + "\r\n";
  };
  EXPECT_EQ(Send(Url(Sh("true")), "GET", headers("v9.channel.k8s.io")).status(), 403);
  EXPECT_EQ(Send(Url(ForwardOrder{.pod = "pod"}), "GET", headers("v5.channel.k8s.io")).status(), 403);
  EXPECT_EQ(Send(Url(Sh("true")), "GET", headers("v5.channel.k8s.io")).status(), 101);
}

TEST_F(WebSocketTest, FirstSupportedOfSeveralIsChosen) {
  ASSERT_TRUE(Connect(Url(Sh("true")), "v9.channel.k8s.io, v4.channel.k8s.io, v5.channel.k8s.io"));
  EXPECT_EQ(chosen_, "v4.channel.k8s.io");
}

TEST_F(WebSocketTest, MuchOutputComesWhole) {
  const auto stream = Connect(Url(Sh("head -c 50000000 /dev/zero", {.output = true})), "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  const auto all = ReadAll(*stream);
  EXPECT_EQ(all.at(1).size(), 50'000'000u);
  EXPECT_THAT(all.at(3), HasSubstr("Success"));
}

TEST_F(WebSocketTest, BadMessagesEndTheConnection) {
  for (const std::string& bad : {std::string("\xff\7", 2), std::string("\xff")}) {
    const auto stream = Connect(Url(Sh("exec cat", {.input = true, .output = true})), "v5.channel.k8s.io");
    ASSERT_TRUE(stream);
    stream->binary(true);
    stream->write(asio::buffer(bad));
    boost::system::error_code error;
    while (!error) {
      boost::beast::flat_buffer buffer;
      stream->read(buffer, error);
    }
    EXPECT_NE(error, websocket::error::closed);
  }
}

TEST_F(WebSocketTest, UnaskedChannelsSwallowWhatComes) {
  const auto stream = Connect(Url(Sh("sleep 0.1; echo hi", {.output = true})), "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  for (const uint8_t channel : {0, 1, 2, 3, 4, 9}) Write(*stream, channel, "x");
  EXPECT_EQ(ReadAll(*stream).at(1), "hi\n");
}

TEST_F(WebSocketTest, ClientThatLeavesWhileItsInputWaitsIsNoticed) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const base::UniqueFd monitor(ends[0]);
  base::UniqueFd theirs(ends[1]);
  attach_ = [&](const AttachOrder&) -> base::Result<Attachment> {
    return Attachment{.packets = std::move(theirs), .takes_input = true, .resize = {}};
  };
  const auto stream = Connect(Url(AttachOrder{.container = "c", .streams = {.input = true}}), "v5.channel.k8s.io");
  ASSERT_TRUE(stream);
  // More than the server takes, and less than it and the kernel do.
  for (int i = 0; i < 32; ++i) Write(*stream, 0, std::string(48 << 10, 'x'));
  EXPECT_FALSE(IsClosed(monitor.get()));
  stream->next_layer().close();
  EXPECT_TRUE(RunUntil([&] { return IsClosed(monitor.get()); }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

class WebSocketForward : public WebSocketTest {
 protected:
  void SetUp() override {
    // A pod that turns letters into capitals until its client has nothing more to say.
    connect_ = [this](const std::string&, uint16_t port) -> base::Result<base::UniqueFd> {
      if (port != 80) return base::Fail(base::Code::kInternal, "connection refused");
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return base::FailErrno(errno, "socketpair");
      pod_.Reset(ends[0]);
      connected_ = true;
      const std::string answer = "hello from the pod";
      if (write(ends[0], answer.data(), answer.size()) < 0) return base::FailErrno(errno, "write");
      return base::UniqueFd(ends[1]);
    };
    StartServer();
  }
  base::UniqueFd pod_;  // set by another thread, before:
  std::atomic<bool> connected_ = false;
};

TEST_F(WebSocketForward, ChannelsNameTheirPortAndCarryTheConnection) {
  protocol_ = {.version = 4};
  const auto stream = Connect(Url(ForwardOrder{.pod = "pod", .ports = {80}}), "v4.channel.k8s.io");
  ASSERT_TRUE(stream);
  boost::beast::flat_buffer buffer;
  for (const std::string& expected :
       {std::string("\0\x50\0", 3), std::string("\1\x50\0", 3), std::string("\0hello from the pod", 19)}) {
    stream->read(buffer);
    EXPECT_EQ(boost::beast::buffers_to_string(buffer.data()), expected);
    buffer.consume(buffer.size());
  }
  pod_.Reset();
  EXPECT_TRUE(ReadAll(*stream).empty());
}

TEST_F(WebSocketForward, FailureIsToldOnTheErrorChannel) {
  protocol_ = {.version = 4, .base64 = true};
  const auto stream = Connect(Url(ForwardOrder{.pod = "pod", .ports = {81}}), "v4.base64.channel.k8s.io");
  ASSERT_TRUE(stream);
  EXPECT_EQ(ReadAll(*stream).at(1),
            std::string("\x51\0", 2) + "error forwarding port 81 to pod pod, uid : connection refused");
}

TEST_F(WebSocketForward, ClientThatLeavesWhileThePodTakesNothingLetsGoOfThePod) {
  protocol_ = {.version = 4};
  const auto stream = Connect(Url(ForwardOrder{.pod = "pod", .ports = {80}}), "v4.channel.k8s.io");
  ASSERT_TRUE(stream);
  for (int i = 0; i < 32; ++i) Write(*stream, 0, std::string(48 << 10, 'x'));
  ASSERT_TRUE(RunUntil([&] { return connected_.load(); }));
  EXPECT_FALSE(IsClosed(pod_.get()));
  stream->next_layer().close();
  EXPECT_TRUE(RunUntil([&] { return IsClosed(pod_.get()); }));
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

TEST_F(WebSocketForward, TunnelCarriesSpdyWhateverTheMessagesBorders) {
  const auto stream = Connect(Url(ForwardOrder{.pod = "pod"}), "SPDY/3.1+portforward.k8s.io");
  ASSERT_TRUE(stream);
  EXPECT_EQ(chosen_, "SPDY/3.1+portforward.k8s.io");
  spdy::HeaderDeflater deflater;
  const spdy::Headers error = {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}};
  const spdy::Headers data = {{"streamtype", "data"}, {"port", "80"}, {"requestid", "0"}};
  // Blocks must be deflated in the order in which they are sent.
  std::string bytes = spdy::SynStream(1, spdy::kFlagFin, deflater.Deflate(error));
  bytes += spdy::SynStream(3, 0, deflater.Deflate(data));
  bytes += spdy::Ping(1);
  stream->binary(true);
  for (size_t at = 0; at < bytes.size(); at += 5) stream->write(asio::buffer(bytes.substr(at, 5)));
  struct Finder final : spdy::FrameVisitor {
    base::Status OnControl(const spdy::Control& control) override {
      pinged = pinged || control.type == spdy::FrameType::kPing;
      return {};
    }
    base::Status OnData(uint32_t, std::string_view piece, bool) override {
      text += piece;
      return {};
    }
    bool pinged = false;
    std::string text;
  } finder;
  spdy::FrameReader reader(finder);
  while (!finder.pinged || finder.text != "hello from the pod") {
    boost::beast::flat_buffer buffer;
    stream->read(buffer);
    ASSERT_TRUE(reader.Feed(boost::beast::buffers_to_string(buffer.data())));
  }
}

TEST_F(WebSocketForward, TextInATunnelEndsIt) {
  const auto stream = Connect(Url(ForwardOrder{.pod = "pod"}), "SPDY/3.1+portforward.k8s.io");
  ASSERT_TRUE(stream);
  stream->text(true);
  stream->write(asio::buffer("hello", 5));
  boost::system::error_code error;
  boost::beast::flat_buffer buffer;
  while (!error) stream->read(buffer, error);
  EXPECT_TRUE(RunUntil([&] { return server_->sessions() == 0; }));
}

}  // namespace
}  // namespace berth::streaming
