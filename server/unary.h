// From gRPC's callback API to plain handlers and back. gRPC's threads only take and answer calls: the handler runs on
// the executor of its class of work, or at once when it only reads a snapshot (executor nullptr).
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/context.h"
#include "base/executor.h"
#include "base/result.h"
#include "server/call_log.h"

namespace berth::server {

grpc::Status ToGrpc(const base::Error& error);
// The trace that the caller says it is in.
std::optional<telemetry::TraceContext> CallerOf(const grpc::CallbackServerContext& context);
// The call's deadline on the steady clock.
base::TimePoint Deadline(const grpc::CallbackServerContext& context);

template <typename Request, typename Reply>
using Handler = std::function<base::Result<Reply>(const Request&, const base::Context&)>;

// Owns itself; gRPC calls OnDone once, after Finish.
template <typename Request, typename Reply>
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(const grpc::CallbackServerContext& context, const Request& request, Reply* reply, std::string_view method,
            const Telemetry& telemetry)
      : request_(request),
        reply_(reply),
        log_(method, telemetry, CallerOf(context)),
        context_(base::Context::Make(log_.id(), Deadline(context))) {}

  void Start(base::Executor* executor, Handler<Request, Reply> handler) {
    if (executor == nullptr) return Run(handler);
    base::Status accepted = executor->Submit([this, handler = std::move(handler)] { Run(handler); });
    if (!accepted) End(std::move(accepted).error());
  }

  void OnCancel() override { context_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Run(const Handler<Request, Reply>& handler) {
    base::Result<Reply> result = handler(request_, context_);
    if (!result) return End(std::move(result).error());
    *reply_ = *std::move(result);
    log_.Done(request_, *reply_);
    Finish(grpc::Status::OK);
  }
  void End(base::Error error) {
    log_.Failed(request_, error);
    Finish(ToGrpc(error));
  }

  const Request& request_;
  Reply* reply_;
  CallLog log_;
  base::Context context_;
};

}  // namespace berth::server
