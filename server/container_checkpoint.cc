#include "server/handlers.h"

namespace berth::server {

using base::Code;
using base::Fail;

// The request is judged as far as it can be, so that a caller learns of its own mistakes first.
base::Result<cri::CheckpointContainerResponse> CheckpointContainer(Services& services,
                                                                   const cri::CheckpointContainerRequest& request,
                                                                   const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  if (!request.location().starts_with('/')) return Fail(Code::kInvalidArgument, "location is not an absolute path");
  if (request.timeout() < 0) return Fail(Code::kInvalidArgument, "timeout is negative");
  if (container->state != container::State::kRunning) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is not running");
  }
  RETURN_IF_ERROR(services.containers.Checkpoint(container->id, request.location(),
                                                 std::chrono::seconds(request.timeout()), context));
  return cri::CheckpointContainerResponse();
}

}  // namespace berth::server
