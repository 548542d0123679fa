// Which signal asks a container to stop (CRI API, Signal; OCI image-spec, config.StopSignal).
#pragma once

#include <string_view>

#include "base/result.h"

namespace berth::container {

// "SIGTERM", "TERM", "15", "RTMIN+3", "SIGRTMAX-1" -> Linux number on x86 and arm.
base::Result<int> ParseSignal(std::string_view text);
// CRI's Signal enum <-> Linux number. 0 for values that neither side knows.
int SignalFromCri(int cri);
int SignalToCri(int linux_number);
// The request's signal if it has one, else the image's, else SIGTERM.
base::Result<int> StopSignal(int cri, std::string_view image);

}  // namespace berth::container
