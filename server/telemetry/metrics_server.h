// GET /metrics, over the HTTP code that streams are served with.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/executor.h"
#include "base/result.h"
#include "server/http/listener.h"

namespace berth::telemetry {

// Connections are the loop's, on which nothing waits; the text is made on the executor. On the loop's thread, or while
// none runs it.
class MetricsServer {
 public:
  struct Options {
    http::Listener::Options listen;     // `what` and `connected` are ours
    std::function<std::string()> text;  // any thread
    base::Executor* work = nullptr;     // not owned; ends before the loop does
  };
  static base::Result<std::unique_ptr<MetricsServer>> Start(boost::asio::io_context& loop, Options options);

 private:
  struct Shared;
  MetricsServer(std::shared_ptr<Shared> shared, std::unique_ptr<http::Listener> listener)
      : shared_(std::move(shared)), listener_(std::move(listener)) {}

  const std::shared_ptr<Shared> shared_;
  const std::unique_ptr<http::Listener> listener_;
};

}  // namespace berth::telemetry
