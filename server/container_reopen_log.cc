#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ReopenContainerLogResponse> ReopenContainerLog(Services& services,
                                                                 const cri::ReopenContainerLogRequest& request,
                                                                 const base::Context& context) {
  RETURN_IF_ERROR(services.containers.ReopenLog(request.container_id(), context));
  return cri::ReopenContainerLogResponse();
}

}  // namespace berth::server
