// What Exec and Attach have in common.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "server/streaming/orders.h"

namespace berth::server {

template <typename Request>
streaming::Streams StreamsOf(const Request& request) {
  return {.tty = request.tty(), .input = request.stdin(), .output = request.stdout(), .errors = request.stderr()};
}

template <typename Request>
base::Status CheckStreams(const std::string& container_id, const Request& request, std::string_view choices) {
  using base::Code;
  using base::Fail;
  if (container_id.empty()) return Fail(Code::kInvalidArgument, "missing required container_id");
  if (request.tty() && request.stderr()) return Fail(Code::kInvalidArgument, "tty and stderr cannot both be true");
  if (!request.stdin() && !request.stdout() && !request.stderr()) {
    return Fail(Code::kInvalidArgument, "one of ", choices, " must be set");
  }
  return {};
}

}  // namespace berth::server
