#include "server/handlers.h"
#include "server/stream_request.h"

namespace berth::server {

base::Result<cri::ExecResponse> Exec(Services& services, const cri::ExecRequest& request, const base::Context&) {
  RETURN_IF_ERROR(CheckStreams(request.container_id(), request, "stdin, stdout, or stderr"));
  if (request.cmd().empty()) return base::Fail(base::Code::kInvalidArgument, "cmd is empty");
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  if (container->state != container::State::kRunning) {
    return base::Fail(base::Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                      ", not running");
  }
  cri::ExecResponse reply;
  ASSIGN_OR_RETURN(*reply.mutable_url(), services.streaming.UrlFor(streaming::ExecOrder{
                                             .container = container->id,
                                             .command = {request.cmd().begin(), request.cmd().end()},
                                             .streams = StreamsOf(request)}));
  return reply;
}

}  // namespace berth::server
