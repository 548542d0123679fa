#include "server/handlers.h"
#include "server/image_spec.h"

namespace berth::server {

base::Result<cri::PullImageResponse> PullImage(Services& services, const cri::PullImageRequest& request,
                                               const base::Context& context) {
  if (request.image().image().empty()) return base::Fail(base::Code::kInvalidArgument, "image is missing");
  RETURN_IF_ERROR(CheckImageSpec(services, request.image()));
  const cri::AuthConfig& auth = request.auth();
  auto pulled = services.puller.PullName(request.image().image(),
                                         {.username = auth.username(),
                                          .password = auth.password(),
                                          .auth = auth.auth(),
                                          .server_address = auth.server_address(),
                                          .identity_token = auth.identity_token(),
                                          .registry_token = auth.registry_token()},
                                         context);
  if (!pulled) {
    base::Error error = std::move(pulled).error();
    // The kubelet knows these cases by the message's beginning, and only where the code is UNKNOWN.
    if (error.code == base::Code::kUnavailable) {
      error.code = base::Code::kUnknown;
      error.message = "RegistryUnavailable: pull failed: " + error.message;
    } else if (error.message.starts_with("SignatureValidationFailed")) {
      error.code = base::Code::kUnknown;
    }
    return tl::make_unexpected(std::move(error));
  }
  cri::PullImageResponse reply;
  reply.set_image_ref(pulled->image_id.str());
  return reply;
}

}  // namespace berth::server
