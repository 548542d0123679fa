#include "server/handlers.h"
#include "server/image_spec.h"

namespace berth::server {

base::Result<cri::RemoveImageResponse> RemoveImage(Services& services, const cri::RemoveImageRequest& request,
                                                   const base::Context&) {
  if (request.image().image().empty()) return base::Fail(base::Code::kInvalidArgument, "image is missing");
  RETURN_IF_ERROR(CheckImageSpec(services, request.image()));
  ASSIGN_OR_RETURN(const image::ImagePtr image, services.images.Find(request.image().image()));
  RETURN_IF_ERROR(services.images.Remove(request.image().image()));
  if (image) services.pulls.Forget(image->id);
  return cri::RemoveImageResponse();
}

}  // namespace berth::server
