#include "server/telemetry/metrics_server.h"

#include <boost/asio/post.hpp>

#include "server/http/exchange.h"

namespace berth::telemetry {

namespace beast = boost::beast::http;

namespace {

constexpr auto kLimit = std::chrono::seconds(10);  // of a request and its answer
constexpr int kMostAtOnce = 8;
constexpr int kMostOpen = 64;  // each is a descriptor that pods may need
constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

struct MetricsServer::Shared {
  std::function<std::string()> text;
  base::Executor* work;
  // On the loop alone:
  int rendering = 0;
  int open = 0;
};

namespace {

template <typename Shared>
class Scrape : public http::Exchange {
 public:
  Scrape(std::shared_ptr<Shared> shared, spdy::Socket socket)
      : Exchange(std::move(socket), kLimit), shared_(std::move(shared)) {
    ++shared_->open;
  }
  ~Scrape() override { --shared_->open; }

 private:
  void Serve() override {
    if (request_->method() != beast::verb::get) {
      return Refuse(beast::status::method_not_allowed, "only GET is served", {{"Allow", "GET"}});
    }
    const auto target = request_->target();
    if (target.substr(0, target.find('?')) != "/metrics")
      return Refuse(beast::status::not_found, "there is /metrics, and nothing else");
    if (shared_->rendering >= kMostAtOnce || !Render())
      return Refuse(beast::status::service_unavailable, "too many ask at once");
    ++shared_->rendering;
  }

  bool Render() {
    const auto self = std::static_pointer_cast<Scrape>(shared_from_this());
    return shared_->work
        ->Submit([self]() mutable {
          std::string text = self->shared_->text();
          const auto loop = self->socket_.get_executor();
          // The connection ends there, not here.
          boost::asio::post(loop, [self = std::move(self), text = std::move(text)]() mutable {
            --self->shared_->rendering;
            self->Answer(beast::status::ok, kTextFormat, std::move(text));
          });
        })
        .has_value();
  }

  const std::shared_ptr<Shared> shared_;
};

}  // namespace

base::Result<std::unique_ptr<MetricsServer>> MetricsServer::Start(boost::asio::io_context& loop, Options options) {
  auto shared = std::make_shared<Shared>(Shared{.text = std::move(options.text), .work = options.work});
  options.listen.what = "metrics";
  options.listen.connected = [shared](spdy::Socket socket) {
    if (shared->open >= kMostOpen) return;
    std::make_shared<Scrape<Shared>>(shared, std::move(socket))->Start();
  };
  ASSIGN_OR_RETURN(auto listener, http::Listener::Listen(loop, std::move(options.listen)));
  listener->Accept();
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(shared), std::move(listener)));
}

}  // namespace berth::telemetry
