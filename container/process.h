// What runs in the container: arguments, environment and working directory from the request and the image.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cri-proto/cri.h"
#include "image/manifest.h"

namespace berth::container {

// The request's command replaces the image's entrypoint and command, its args replace the command alone.
// kInvalidArgument when nothing is left to run.
base::Result<std::vector<std::string>> Arguments(const cri::ContainerConfig& config, const image::ImageConfig& image);

// KEY=VALUE; of two with one key the later value stands at the first one's place. Order: PATH, TERM (tty), HOSTNAME,
// the image's, the request's, HOME (`home`, unless one of those has it). kInvalidArgument for a key that is empty or
// holds "=" or NUL, and for a value of the request that config.json cannot hold.
base::Result<std::vector<std::string>> Environment(const cri::ContainerConfig& config, const image::ImageConfig& image,
                                                   const std::string& hostname, const std::string& home);

// Absolute. kInvalidArgument when the request or the image asks for a relative one.
base::Result<std::string> WorkingDirectory(const cri::ContainerConfig& config, const image::ImageConfig& image);

// Whether the program that is started is systemd, as CRI-O has it.
bool IsSystemd(const std::string& program);

}  // namespace berth::container
