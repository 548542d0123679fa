#include <poll.h>

#include <array>
#include <map>

#include <CLI/CLI.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/stream_client.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kHighWater = 256 << 10;
constexpr size_t kLowWater = 64 << 10;

struct ForwardFlags {
  std::string pod;
  std::string address = "127.0.0.1";
  std::vector<std::string> ports;
};

// One connection of ours and its pair of streams.
struct Link {
  explicit Link(tcp::socket given) : socket(std::move(given)) {}
  tcp::socket socket;
  uint32_t error = 0;
  uint32_t data = 0;
  std::string to_socket;  // came from the pod
  bool writing = false;
  bool pod_ended = false;
  bool reading = false;
  bool user_ended = false;  // our side brings no more
  std::array<char, 32 << 10> buffer;
  std::string error_text;
};
using LinkPtr = std::shared_ptr<Link>;

class Forwarder : public spdy::ConnectionUser, public std::enable_shared_from_this<Forwarder> {
 public:
  Forwarder(asio::io_context& loop, std::shared_ptr<spdy::Connection> connection)
      : loop_(loop), connection_(std::move(connection)) {}
  void Start() { connection_->Start(shared_from_this()); }
  void Abort() { connection_->Finish(); }
  bool closed() const { return closed_; }

  // The port that is really listened at.
  base::Result<uint16_t> Listen(const std::string& address, const PortPair& ports) {
    error_code error;
    auto acceptor = std::make_shared<tcp::acceptor>(loop_);
    const tcp::endpoint endpoint(asio::ip::make_address(address, error), ports.local);
    if (!error) acceptor->open(endpoint.protocol(), error);
    if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor->bind(endpoint, error);
    if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
    if (error)
      return base::Fail(base::Code::kUnavailable, "listen on ", address, " port ", ports.local, ": ", error.message());
    acceptors_.push_back(acceptor);
    Accept(*acceptor, ports.remote);
    return acceptor->local_endpoint().port();
  }

 private:
  void Accept(tcp::acceptor& acceptor, uint16_t port) {
    acceptor.async_accept(
        [self = shared_from_this(), this, &acceptor, port](const error_code& error, tcp::socket socket) {
          if (error || closed_) return;
          const auto link = std::make_shared<Link>(std::move(socket));
          const spdy::Headers common = {{"port", std::to_string(port)}, {"requestid", std::to_string(next_++)}};
          const auto open = [&](const char* type, bool fin) {
            spdy::Headers headers = common;
            headers.emplace_back("streamtype", type);
            return connection_->Open(headers, fin);
          };
          link->error = open("error", true);
          link->data = open("data", false);
          links_[link->data] = link;
          links_[link->error] = link;
          Read(link);
          Accept(acceptor, port);
        });
  }

  void Read(const LinkPtr& link) {
    if (link->reading || link->user_ended || connection_->queued() > kHighWater) return;
    link->reading = true;
    link->socket.async_read_some(asio::buffer(link->buffer),
                                 [self = shared_from_this(), this, link](const error_code& error, size_t size) {
                                   link->reading = false;
                                   if (error) {
                                     link->user_ended = true;
                                     return connection_->Fin(link->data);
                                   }
                                   connection_->Send(link->data, std::string_view(link->buffer.data(), size));
                                   Read(link);
                                 });
  }

  void Write(const LinkPtr& link) {
    if (link->writing) return;
    error_code ignored;
    if (link->to_socket.empty()) {
      if (link->pod_ended) link->socket.shutdown(tcp::socket::shutdown_send, ignored);
      return;
    }
    link->writing = true;
    auto data = std::make_shared<std::string>(std::move(link->to_socket));
    link->to_socket.clear();
    asio::async_write(link->socket, asio::buffer(*data),
                      [self = shared_from_this(), this, link, data](const error_code& error, size_t) {
                        link->writing = false;
                        if (error) return Close(link);
                        Resume();
                        Write(link);
                      });
  }

  void Resume() {
    if (!paused_) return;
    for (const auto& [stream, link] : links_) {
      if (link->to_socket.size() > kLowWater) return;
    }
    paused_ = false;
    connection_->ResumeReading();
  }

  void Close(const LinkPtr& link) {
    error_code ignored;
    link->socket.close(ignored);
    link->user_ended = true;
    link->to_socket.clear();
    connection_->Reset(link->data);
    links_.erase(link->data);
    Resume();
  }

  void OnStream(uint32_t stream, const spdy::Headers&, bool) override {
    connection_->Reset(stream, spdy::ResetStatus::kRefusedStream);
  }
  void OnData(uint32_t stream, std::string_view data) override {
    const auto found = links_.find(stream);
    if (found == links_.end()) return;
    const LinkPtr link = found->second;
    if (stream == link->error) {
      link->error_text += data;
      return;
    }
    link->to_socket += data;
    if (link->to_socket.size() > kHighWater && !paused_) {
      paused_ = true;
      connection_->PauseReading();
    }
    Write(link);
  }
  void OnFin(uint32_t stream) override { Ended(stream); }
  void OnReset(uint32_t stream) override { Ended(stream); }
  void Ended(uint32_t stream) {
    const auto found = links_.find(stream);
    if (found == links_.end()) return;
    const LinkPtr link = found->second;
    if (stream == link->data) {
      link->pod_ended = true;
      return Write(link);
    }
    // The end of the error stream is the end of the connection; what is still to be written is.
    links_.erase(link->error);
    links_.erase(link->data);
    if (!link->error_text.empty()) {
      Note(link->error_text);
      return Close(link);
    }
    link->pod_ended = true;
    Write(link);
  }
  void OnDrained() override {
    for (const auto& [stream, link] : std::map(links_)) Read(link);
  }
  void OnClosed(const base::Status&) override {
    closed_ = true;
    error_code ignored;
    for (const auto& acceptor : acceptors_) acceptor->close(ignored);
    for (const auto& [stream, link] : links_) link->socket.close(ignored);
    links_.clear();
  }

  asio::io_context& loop_;
  std::shared_ptr<spdy::Connection> connection_;
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors_;
  std::map<uint32_t, LinkPtr> links_;  // by both streams
  uint64_t next_ = 0;
  bool paused_ = false;
  bool closed_ = false;
};

base::Result<int> RunPortForward(Session& session, const ForwardFlags& flags) {
  std::vector<PortPair> pairs;
  for (const std::string& text : flags.ports) {
    ASSIGN_OR_RETURN(const PortPair pair, ParsePortPair(text));
    pairs.push_back(pair);
  }
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::PodSandbox pod, FindPod(objects, flags.pod));
  ASSIGN_OR_RETURN(const std::string url, session.client.PortForward(pod.id(), session.context), "port-forward to ",
                   flags.pod);
  asio::io_context loop(1);
  ASSIGN_OR_RETURN(auto connection, OpenStreams(loop, url, "portforward.k8s.io"));
  const auto forwarder = std::make_shared<Forwarder>(loop, std::move(connection));
  forwarder->Start();
  asio::posix::stream_descriptor cancelled(loop);
  if (session.context.fd() >= 0) {
    cancelled.assign(dup(session.context.fd()));
    cancelled.async_wait(asio::posix::stream_descriptor::wait_read, [&](const error_code& error) {
      if (!error) forwarder->Abort();
    });
  }
  for (const PortPair& pair : pairs) {
    ASSIGN_OR_RETURN(const uint16_t port, forwarder->Listen(flags.address, pair));
    Print(base::Cat("Forwarding from ", flags.address, ":", port, " to port ", pair.remote, " of ", flags.pod, "\n"));
  }
  while (!forwarder->closed()) loop.run_one();
  if (session.context.cancelled()) return 0;
  return base::Fail(base::Code::kUnavailable, "the connection has ended: the pod was stopped, or the daemon");
}

}  // namespace

void AddPortForwardCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<ForwardFlags>();
  CLI::App* command =
      app.add_subcommand("port-forward", "Make ports of a pod reachable at ports of this machine, until Ctrl-C");
  command->add_option("--address", flags->address, "IP address to listen at")->capture_default_str();
  command->add_option("pod", flags->pod, "Name or id of a pod")->required();
  command->add_option("ports", flags->ports, "[local:]port; local 0 is any that is free")->required();
  command->callback(
      [flags, &chosen] { chosen = [flags](Session& session) { return RunPortForward(session, *flags); }; });
}

}  // namespace berth::cli
