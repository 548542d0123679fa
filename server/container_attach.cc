#include "server/handlers.h"
#include "server/stream_request.h"

namespace berth::server {

base::Result<cri::AttachResponse> Attach(Services& services, const cri::AttachRequest& request, const base::Context&) {
  RETURN_IF_ERROR(CheckStreams(request.container_id(), request, "stdin, stdout, and stderr"));
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  if (container->state != container::State::kRunning && container->state != container::State::kCreated) {
    return base::Fail(base::Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                      ", not running");
  }
  cri::AttachResponse reply;
  ASSIGN_OR_RETURN(*reply.mutable_url(), services.streaming.UrlFor(streaming::AttachOrder{
                                             .container = container->id, .streams = StreamsOf(request)}));
  return reply;
}

}  // namespace berth::server
