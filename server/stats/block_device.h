// What a block device is called.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"

namespace berth::stats {

// "/dev/vda"; "0:42" where no device stands behind the numbers (tmpfs, overlay).
std::string DeviceName(uint32_t major, uint32_t minor, const base::Path& sys = "/sys/dev/block");

}  // namespace berth::stats
