// The two ways to mount an overlay. MountOverlay (mount.h) chooses; they are named here so that both can be tested on
// one kernel.
#pragma once

#include "kernel/mount.h"

namespace berth::kernel::internal {

// Whether fsconfig(2) takes layers one by one ("lowerdir+"). Asked once.
bool KernelTakesLayersOneByOne();
base::Status MountOverlayByFsconfig(const OverlaySpec& spec);
// All options must fit on one page; layers whose names do not are named by descriptor (/proc/self/fd/N).
base::Status MountOverlayByMountCall(const OverlaySpec& spec);

}  // namespace berth::kernel::internal
