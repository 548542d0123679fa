// An image as the CRI API shows it.
#pragma once

#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "image/store.h"

namespace berth::server {

cri::Image ImageReply(const image::Image& image);

}  // namespace berth::server
