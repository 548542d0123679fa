#include "server/unary.h"

#include <algorithm>
#include <chrono>

namespace berth::server {

grpc::Status ToGrpc(const base::Error& error) {
  using base::Code;
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  switch (error.code) {
    case Code::kInvalidArgument:
      code = grpc::StatusCode::INVALID_ARGUMENT;
      break;
    case Code::kNotFound:
      code = grpc::StatusCode::NOT_FOUND;
      break;
    case Code::kAlreadyExists:
      code = grpc::StatusCode::ALREADY_EXISTS;
      break;
    case Code::kFailedPrecondition:
      code = grpc::StatusCode::FAILED_PRECONDITION;
      break;
    case Code::kUnauthenticated:
      code = grpc::StatusCode::UNAUTHENTICATED;
      break;
    case Code::kResourceExhausted:
      code = grpc::StatusCode::RESOURCE_EXHAUSTED;
      break;
    case Code::kUnavailable:
      code = grpc::StatusCode::UNAVAILABLE;
      break;
    case Code::kDeadlineExceeded:
      code = grpc::StatusCode::DEADLINE_EXCEEDED;
      break;
    case Code::kCancelled:
      code = grpc::StatusCode::CANCELLED;
      break;
    case Code::kUnimplemented:
      code = grpc::StatusCode::UNIMPLEMENTED;
      break;
    case Code::kInternal:
      code = grpc::StatusCode::INTERNAL;
      break;
    case Code::kUnknown:
      code = grpc::StatusCode::UNKNOWN;
      break;
  }
  // Messages travel in a header: gRPC refuses much larger ones, and the kubelet puts them into events.
  constexpr size_t kMaxMessage = 4096;
  return grpc::Status(code, error.Text().substr(0, kMaxMessage));
}

std::optional<telemetry::TraceContext> CallerOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("traceparent");
  if (found == metadata.end()) return std::nullopt;
  return telemetry::ParseTraceParent({found->second.data(), found->second.size()});
}

base::TimePoint Deadline(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  const auto now = std::chrono::system_clock::now();
  // A client without a deadline gives the far future, which the steady clock's arithmetic does not take.
  if (deadline - now > std::chrono::hours(24 * 365)) return base::TimePoint::max();
  return base::Monotonic::now() + std::chrono::duration_cast<base::Monotonic::duration>(deadline - now);
}

}  // namespace berth::server
