#include "server/streaming/server.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <future>
#include <list>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "server/streaming/http_connection.h"
#include "server/streaming/tls.h"

namespace berth::streaming {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kStartLimit = std::chrono::minutes(2);  // of a process, an attach or a connection
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

struct Server::State {
  explicit State(Options given)
      : options(std::move(given)),
        http{.session = {.loop = loop,
                         .work = *options.work,
                         .callbacks = options.callbacks,
                         .start_limit = kStartLimit,
                         .drain = options.drain},
             .tokens = tokens,
             .idle = options.idle,
             .creation = options.creation,
             .on_session = [this](std::weak_ptr<Session> session, const std::string& pod) {
               Remember(std::move(session), pod);
             }} {}

  base::Status Listen();
  void Accept();
  void Take(tcp::socket socket);
  void Remember(std::weak_ptr<Session> session, const std::string& pod);
  size_t Forget();

  struct Entry {
    std::weak_ptr<Session> session;
    std::string pod;
  };

  const Options options;
  Tokens tokens;
  std::unique_ptr<Tls> tls;
  std::string url;
  // On the loop alone, or after its thread has ended. Before the loop: what the loop holds may use it.
  std::list<Entry> sessions;
  size_t remembered = 0;
  asio::io_context loop{1};
  HttpParts http;
  tcp::acceptor acceptor{loop};
  asio::steady_timer pause{loop};
  std::thread thread;
};

base::Status Server::State::Listen() {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error)
    return base::Fail(base::Code::kInvalidArgument, "streaming address ", options.address, ": not an IP address");
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error)
    return base::Fail(base::Code::kUnavailable, "streaming: listen on ", options.address, " port ", options.port, ": ",
                      error.message());
  if (!options.certificate.empty()) {
    ASSIGN_OR_RETURN(
        tls, Tls::Make({.certificate = options.certificate, .key = options.key, .client_ca = options.client_ca}));
  }
  // Whoever listens everywhere is reached at the loopback address: clients are on this node.
  std::string host = address.is_unspecified() ? (address.is_v6() ? "::1" : "127.0.0.1") : address.to_string();
  if (address.is_v6()) host = "[" + host + "]";
  url = base::Cat(tls ? "https://" : "http://", host, ":", acceptor.local_endpoint().port());
  return {};
}

void Server::State::Accept() {
  acceptor.async_accept([this](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      Take(std::move(socket));
      return Accept();
    }
    // No descriptors are left, most likely: it would fail again at once.
    pause.expires_after(kAcceptPause);
    pause.async_wait([this](const error_code& stopped) {
      if (!stopped) Accept();
    });
  });
}

void Server::State::Take(tcp::socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (!tls) return ServeHttp(http, spdy::Socket(std::move(socket)));
  std::string problem;
  const auto context = tls->Current(problem);
  if (!problem.empty()) options.report(problem);
  ServeHttp(http, spdy::Socket(std::make_unique<spdy::Socket::Tls>(std::move(socket), *context)));
}

void Server::State::Remember(std::weak_ptr<Session> session, const std::string& pod) {
  const auto made = session.lock();
  sessions.push_back({std::move(session), pod});
  // The other way round than whoever ends a pod: that denies first and looks at the sessions then.
  if (made && !pod.empty() && !options.callbacks.pod_is_ready(pod)) made->Abort();
  if (sessions.size() > 2 * remembered + 16) remembered = Forget();
}

// Drops what has ended. How many go on.
size_t Server::State::Forget() {
  sessions.remove_if([](const Entry& entry) { return entry.session.expired(); });
  return sessions.size();
}

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}

base::Result<std::unique_ptr<Server>> Server::Start(Options options) {
  auto state = std::make_shared<State>(std::move(options));
  RETURN_IF_ERROR(state->Listen());
  state->Accept();
  // Signals belong to the daemon's other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  state->thread = std::thread([loop = &state->loop] {
    pthread_setname_np(pthread_self(), "streaming");
    const auto keep_running = asio::make_work_guard(*loop);
    loop->run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::~Server() {
  Stop();
}

base::Result<std::string> Server::UrlFor(Order order) {
  constexpr std::array<std::string_view, 3> kFolders = {"/exec/", "/attach/", "/portforward/"};
  const std::string_view folder = kFolders[order.index()];
  ASSIGN_OR_RETURN(const std::string token, state_->tokens.Insert(std::move(order)));
  return base::Cat(state_->url, folder, token);
}

void Server::ClosePod(const std::string& pod) {
  asio::post(state_->loop, [state = state_.get(), pod] {
    for (const auto& entry : state->sessions) {
      const auto session = entry.pod == pod ? entry.session.lock() : nullptr;
      if (session) session->Abort();
    }
  });
}

void Server::Stop() {
  if (!state_->thread.joinable()) return;
  state_->loop.stop();
  state_->thread.join();
  error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& entry : state_->sessions) {
    if (const auto session = entry.session.lock()) session->Abort();
  }
  state_->loop.restart();
  state_->loop.poll();
}

size_t Server::sessions() const {
  if (!state_->thread.joinable()) return state_->Forget();
  std::promise<size_t> count;
  asio::post(state_->loop, [&] { count.set_value(state_->Forget()); });
  return count.get_future().get();
}

}  // namespace berth::streaming
