// Which boot of the host this is.
#pragma once

#include <string>

#include "base/result.h"

namespace berth::kernel {

// The kernel's random id of this boot: 36 characters, another after every reboot (random(4)).
base::Result<std::string> BootId();

}  // namespace berth::kernel
