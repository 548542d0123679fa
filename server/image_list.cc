#include <algorithm>

#include "base/strings.h"
#include "server/handlers.h"
#include "server/image_reply.h"
#include "server/image_spec.h"

namespace berth::server {

cri::Image ImageReply(const image::Image& image) {
  cri::Image reply;
  reply.set_id(image.id);
  for (const std::string& tag : image.repo_tags) reply.add_repo_tags(tag);
  for (const std::string& digest : image.repo_digests) reply.add_repo_digests(digest);
  // The kubelet rejects a size of 0.
  reply.set_size(std::max<uint64_t>(1, image.size));
  // "uid xor username": the image's User without its group.
  const std::string user = image.config.user.substr(0, image.config.user.find(':'));
  if (const auto uid = base::ParseInt(user))
    reply.mutable_uid()->set_value(*uid);
  else
    reply.set_username(user);
  reply.mutable_spec()->set_image(image.id);
  reply.set_pinned(image.pinned);
  return reply;
}

base::Result<cri::ListImagesResponse> ListImages(Services& services, const cri::ListImagesRequest& request,
                                                 const base::Context&) {
  RETURN_IF_ERROR(CheckImageSpec(services, request.filter().image()));
  cri::ListImagesResponse reply;
  const std::string& wanted = request.filter().image().image();
  if (!wanted.empty()) {
    const auto found = services.images.Find(wanted);
    if (found && *found) *reply.add_images() = ImageReply(**found);
    return reply;
  }
  for (const image::ImagePtr& image : *services.images.List()) *reply.add_images() = ImageReply(*image);
  return reply;
}

}  // namespace berth::server
