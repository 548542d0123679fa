#include "server/handlers.h"
#include "server/image_spec.h"

namespace berth::server {

base::Result<cri::RemoveImageResponse> RemoveImage(Services& services, const cri::RemoveImageRequest& request, const base::Context&) {
  if (request.image().image().empty()) return base::Fail(base::Code::kInvalidArgument, "image is missing");
  RETURN_IF_ERROR(CheckImageSpec(services, request.image()));
  RETURN_IF_ERROR(services.images.Remove(request.image().image()));
  return cri::RemoveImageResponse();
}

}  // namespace berth::server
