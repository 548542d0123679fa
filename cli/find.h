// Names and ids, as people give them, into the objects that they mean.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "cri-proto/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

// Everything that can be named, as it was at one moment.
struct Objects {
  cri::ListPodSandboxResponse pods;
  cri::ListContainersResponse containers;
};

// A whole id, a unique beginning of one, a name, or for a pod "namespace/name". kNotFound, or kInvalidArgument when
// several are meant; the message lists them. Of containers of one name in one pod the newest is meant.
base::Result<cri::PodSandbox> FindPod(const Objects& objects, std::string_view text);
// A pod with one container stands for the container.
base::Result<cri::Container> FindContainer(const Objects& objects, std::string_view text);

// `run` gives one name to a pod and its container: then the pod is meant, whose stop and removal include the
// container's.
base::Result<std::variant<cri::PodSandbox, cri::Container>> FindPodOrContainer(const Objects& objects,
                                                                               std::string_view text);

}  // namespace berth::cli
