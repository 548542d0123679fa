#include <nlohmann/json.hpp>

#include "json/json.h"
#include "server/handlers.h"
#include "server/image_reply.h"
#include "server/image_spec.h"

namespace berth::server {

base::Result<cri::ImageStatusResponse> ImageStatus(Services& services, const cri::ImageStatusRequest& request,
                                                   const base::Context&) {
  if (request.image().image().empty()) return base::Fail(base::Code::kInvalidArgument, "image is missing");
  RETURN_IF_ERROR(CheckImageSpec(services, request.image()));
  ASSIGN_OR_RETURN(const image::ImagePtr image, services.images.Find(request.image().image()));
  cri::ImageStatusResponse reply;
  if (!image) return reply;  // not present is no error
  *reply.mutable_image() = ImageReply(*image);
  if (request.verbose()) {
    nlohmann::json info{{"chainID", image->chain_ids.empty() ? "" : image->chain_ids.back().str()},
                        {"labels", image->config.labels}};
    ASSIGN_OR_RETURN(info["imageSpec"], json::Parse(image->config_json, "image configuration"));
    (*reply.mutable_info())["info"] = json::Dump(info);
    (*reply.mutable_info())["timeline"] = state::ToJsonText(services.pulls.Read(image->id));
  }
  return reply;
}

}  // namespace berth::server
