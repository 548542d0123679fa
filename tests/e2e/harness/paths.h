// Where the programs under test are: beside the running test program.
#pragma once

#include "base/file.h"

namespace berth::e2e {

base::Path Berthd();
base::Path BerthClient();
base::Path SpdyPeer();  // missing where Go or its SPDY library is not installed
base::Path ImagesScript();
base::Path KubeletMessage(const std::string& name);  // a recorded one: "RunPodSandbox"
// /usr/bin/crun, /usr/sbin/runc; empty when it is not installed.
base::Path OciRuntime(const std::string& name);

}  // namespace berth::e2e
