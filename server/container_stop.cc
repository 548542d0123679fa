#include <algorithm>
#include <chrono>

#include "server/handlers.h"

namespace berth::server {

base::Result<cri::StopContainerResponse> StopContainer(Services& services, const cri::StopContainerRequest& request,
                                                       const base::Context& context) {
  if (request.container_id().empty()) return base::Fail(base::Code::kInvalidArgument, "container_id is missing");
  // A year is for ever, and what the arithmetic of deadlines takes.
  const int64_t seconds = std::clamp<int64_t>(request.timeout(), 0, 365 * 24 * 3600);
  RETURN_IF_ERROR(services.containers.Stop(request.container_id(), std::chrono::seconds(seconds), context));
  return cri::StopContainerResponse();
}

}  // namespace berth::server
