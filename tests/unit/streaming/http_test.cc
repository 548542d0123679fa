// What becomes of a request: routes, tokens, the upgrade.
#include <thread>

#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

class Http : public StreamingTest {};

TEST_F(Http, UrlNamesTheRealPort) {
  EXPECT_THAT(Url(Sh("true")), MatchesRegex("http://127\\.0\\.0\\.1:[1-9][0-9]*/exec/[-_A-Za-z0-9]+"));
  EXPECT_THAT(Url(AttachOrder{}), HasSubstr("/attach/"));
  EXPECT_THAT(Url(ForwardOrder{}), HasSubstr("/portforward/"));
}

TEST_F(Http, FirstSupportedProtocolOfTheClientWins) {
  const Upgrade upgrade =
      Send(Url(Sh("true")), "POST",
           "connection: upgrade\r\nUPGRADE: spdy/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
           "X-Stream-Protocol-Version: v3.channel.k8s.io, v4.channel.k8s.io\r\n");
  EXPECT_EQ(upgrade.head,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n");
}

TEST_F(Http, TokenWorksOnceEvenIfTheUpgradeFails) {
  const std::string url = Url(Sh("true"));
  EXPECT_EQ(Send(url, "GET", "").status(), 400);
  EXPECT_EQ(Send(url, "POST", SpdyHeaders()).status(), 404);
}

TEST_F(Http, TokenOfAnotherEndpointIsUnknown) {
  std::string url = Url(Sh("true"));
  url.replace(url.find("/exec/"), 6, "/attach/");
  EXPECT_EQ(Send(url, "POST", SpdyHeaders()).status(), 404);
}

TEST_F(Http, UnknownPathsAndMethodsAreRefused) {
  std::string url = Url(Sh("true"));
  EXPECT_EQ(Send(url, "PUT", SpdyHeaders()).status(), 405);
  EXPECT_EQ(Send(url, "GET", SpdyHeaders()).status(), 101);  // a method that is refused uses nothing up
  EXPECT_EQ(Send(url.substr(0, url.find("/exec")) + "/", "GET", "").status(), 404);
  EXPECT_EQ(Send(url.substr(0, url.find("/exec")) + "/exec/", "GET", "").status(), 404);
}

TEST_F(Http, QueryBehindTheTokenIsIgnored) {
  EXPECT_EQ(Send(Url(Sh("true")) + "?command=x", "POST", SpdyHeaders()).status(), 101);
}

TEST_F(Http, MissingProtocolIsABadRequest) {
  const Upgrade upgrade = Send(Url(Sh("true")), "POST", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n");
  EXPECT_EQ(upgrade.status(), 400);
}

TEST_F(Http, UnsupportedProtocolsAreAnsweredWithTheList) {
  const Upgrade upgrade = Send(Url(Sh("true")), "POST", SpdyHeaders("v9.channel.k8s.io"));
  EXPECT_EQ(upgrade.status(), 403);
  for (const char* name : {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}) {
    EXPECT_THAT(upgrade.head, HasSubstr(base::Cat("X-Accepted-Stream-Protocol-Versions: ", name, "\r\n")));
  }
  EXPECT_EQ(Send(Url(ForwardOrder{}), "POST", SpdyHeaders("v4.channel.k8s.io")).status(), 403);
}

TEST_F(Http, WithoutUpgradeHeadersItIsABadRequest) {
  EXPECT_EQ(Send(Url(Sh("true")), "POST", "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n").status(), 400);
}

TEST_F(Http, LongHeadsAreTakenAndTooLongOnesRefused) {
  EXPECT_EQ(Send(Url(Sh("true")), "POST", SpdyHeaders() + "Cookie: " + std::string(60'000, 'x') + "\r\n").status(),
            101);
  EXPECT_EQ(Send(Url(Sh("true")), "POST", SpdyHeaders() + "Cookie: " + std::string(200'000, 'x') + "\r\n").status(),
            431);
}

TEST_F(Http, ClientThatSendsNoRequestIsCutOff) {
  server_->Stop();
  options_.creation = std::chrono::milliseconds(100);
  StartServer();
  tcp::socket socket(loop_);
  socket.connect({asio::ip::make_address("127.0.0.1"), PortOf(Url(Sh("true")))});
  char byte = 0;
  boost::system::error_code error;
  socket.read_some(asio::buffer(&byte, 1), error);
  EXPECT_TRUE(error);
}

TEST_F(Http, OldestConnectionWithoutARequestMakesRoom) {
  server_->Stop();
  options_.max_waiting = 3;
  StartServer();
  const std::string url = Url(Sh("true"));
  const tcp::endpoint address(asio::ip::make_address("127.0.0.1"), PortOf(url));
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 3; ++i) {
    idle.emplace_back(loop_);
    idle.back().connect(address);
  }
  EXPECT_EQ(Send(url, "POST", SpdyHeaders()).status(), 101);
  char byte = 0;
  boost::system::error_code error;
  idle[0].read_some(asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::eof);
  idle[1].non_blocking(true);
  idle[1].read_some(asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::would_block);
}

TEST_F(Http, AddressInUseIsAnError) {
  Server::Options options = options_;
  options.port = PortOf(Url(Sh("true")));
  const auto second = Server::Start(options);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
}

// A child of a killed daemon has its socket until it execs: the next daemon waits a moment for the port.
TEST_F(Http, PortThatComesFreeInAMomentIsTaken) {
  asio::io_context loop;
  asio::ip::tcp::acceptor former(loop, {asio::ip::address_v4::loopback(), 0});
  Server::Options options = options_;
  options.port = former.local_endpoint().port();
  std::jthread child([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    former.close();
  });
  const auto next = Server::Start(options);
  EXPECT_TRUE(next) << next.error().message;
}

}  // namespace
}  // namespace berth::streaming
