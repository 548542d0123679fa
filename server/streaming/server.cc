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
#include <boost/asio/post.hpp>

#include "server/http/listener.h"
#include "server/streaming/http_connection.h"

namespace berth::streaming {

namespace asio = boost::asio;

namespace {

constexpr auto kCountLimit = std::chrono::seconds(1);
constexpr size_t kScratch = 512 << 10;
// The kernel's own choice grows to megabytes, which are in no cache when they are sent, and are held for each client
// that stalls.
constexpr int kSendBuffer = 256 << 10;
constexpr auto kStartLimit = std::chrono::minutes(2);  // of a process, an attach or a connection

}  // namespace

struct Server::State {
  explicit State(Options given)
      : options(std::move(given)),
        parts{.session = {.loop = loop,
                          .scratch = {scratch.get(), kScratch},
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
  void Serve(spdy::Socket socket);
  void Remember(std::weak_ptr<Session> session, const std::string& pod);
  size_t Forget();

  struct Entry {
    std::weak_ptr<Session> session;
    std::string pod;
  };

  const Options options;
  Tokens tokens;
  // On the loop alone, or after its thread has ended. Before the loop: what the loop holds may use it.
  std::list<Entry> sessions;
  size_t remembered = 0;
  std::list<std::weak_ptr<http::Exchange>> waiting;  // connections that have become no session yet, oldest first
  const std::unique_ptr<char[]> scratch = std::make_unique_for_overwrite<char[]>(kScratch);
  asio::io_context loop{1};
  HttpParts parts;
  std::unique_ptr<http::Listener> listener;
  std::thread thread;
};

base::Status Server::State::Listen() {
  ASSIGN_OR_RETURN(
      listener,
      http::Listener::Listen(
          loop, {.what = "streaming",
                 .address = options.address,
                 .port = options.port,
                 .tls = {.certificate = options.certificate, .key = options.key, .client_ca = options.client_ca},
                 .report = options.report,
                 .connected = [this](spdy::Socket socket) { Serve(std::move(socket)); }}));
  return {};
}

void Server::State::Serve(spdy::Socket socket) {
  // Whoever is on this node may connect, and descriptors are the whole daemon's. Who means it sends a request at once.
  if (waiting.size() >= options.max_waiting) std::erase_if(waiting, [](const auto& one) { return one.expired(); });
  if (waiting.size() >= options.max_waiting) {
    if (const auto oldest = waiting.front().lock()) oldest->Close();
    waiting.pop_front();
  }
  boost::system::error_code ignored;
  socket.tcp().set_option(asio::socket_base::send_buffer_size(kSendBuffer), ignored);
  waiting.push_back(ServeHttp(parts, std::move(socket)));
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
  state->listener->Accept();
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
  return base::Cat(state_->listener->url(), folder, token);
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
  state_->listener->Close();
  for (const auto& entry : state_->sessions) {
    if (const auto session = entry.session.lock()) session->Abort();
  }
  state_->loop.restart();
  state_->loop.poll();
}

size_t Server::sessions() const {
  if (!state_->thread.joinable()) return state_->Forget();
  // The loop may be stopped between the two.
  const auto count = std::make_shared<std::promise<size_t>>();
  auto counted = count->get_future();
  asio::post(state_->loop, [state = state_.get(), count] { count->set_value(state->Forget()); });
  return counted.wait_for(kCountLimit) == std::future_status::ready ? counted.get() : 0;
}

}  // namespace berth::streaming
