// One structured line for each call, its figures and its span: method, ids, duration, code. Requests themselves are not
// logged: they can hold secrets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/tracer.h"

namespace berth::server {

// Who is told of calls. Outlives them.
struct Telemetry {
  const telemetry::Metrics* metrics = nullptr;
  telemetry::Tracer* tracer = nullptr;  // nullptr: nobody collects spans
};

class CallLog {
 public:
  CallLog(std::string_view method, const Telemetry& telemetry, const std::optional<telemetry::TraceContext>& caller);

  const std::string& id() const { return id_; }  // of the request, handed on to plugins and runtimes' logs

  template <typename Request, typename Reply>
  void Done(const Request& request, const Reply& reply) {
    AddIds(request);
    AddIds(reply);
    Write(nullptr);
  }
  template <typename Request>
  void Failed(const Request& request, const base::Error& error) {
    AddIds(request);
    Write(&error);
  }

 private:
  template <typename Message>
  void AddIds(const Message& message) {
    if constexpr (requires { message.pod_sandbox_id(); }) Add("sandbox", message.pod_sandbox_id());
    if constexpr (requires { message.container_id(); }) Add("container", message.container_id());
    if constexpr (requires { message.image().image(); }) Add("image", message.image().image());
    if constexpr (requires { message.image_ref(); }) Add("image_id", message.image_ref());
    if constexpr (requires { message.config().metadata().name(); }) Add("name", message.config().metadata().name());
  }
  void Add(std::string_view key, std::string_view value);
  void Write(const base::Error* error);

  Telemetry telemetry_;
  telemetry::Metrics::Rpc* figures_;
  std::string method_;
  std::string id_;
  std::string fields_;
  base::TimePoint start_;
};

}  // namespace berth::server
