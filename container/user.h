// Who the container's process runs as: names looked up in the image's own passwd and group files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri-proto/cri.h"

namespace berth::container {

struct User {
  int64_t uid = 0;
  int64_t gid = 0;
  std::vector<int64_t> groups;  // sorted, unique, the primary one among them
  std::string home = "/";       // as passwd has it; "/" for a user whom it does not know or gives none
};

// `rootfs` is a folder descriptor of the container's root. The files are opened beneath it, must be regular and small;
// a missing file holds no names. `image_user` is the image's User. kInvalidArgument for a name that does not exist, for
// a group without a user and for an unknown group policy.
base::Result<User> ResolveUser(int rootfs, const cri::LinuxContainerSecurityContext& security,
                               std::string_view image_user);

}  // namespace berth::container
