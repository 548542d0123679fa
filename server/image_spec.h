// What every call checks of the image that it names.
#pragma once

#include "cri-proto/api.pb.h"
#include "server/services.h"

namespace berth::server {

// Images are the same for every handler, but one that there is not cannot be meant.
inline base::Status CheckImageSpec(const Services& services, const cri::ImageSpec& spec) {
  if (spec.runtime_handler().empty() || services.runtimes.contains(spec.runtime_handler())) return {};
  return base::Fail(base::Code::kInvalidArgument, "image.runtime_handler: no runtime handler \"",
                    spec.runtime_handler(), "\" is configured");
}

}  // namespace berth::server
