// What the streaming server needs of the rest of the daemon.
#pragma once

#include "base/executor.h"
#include "container/containers.h"
#include "sandbox/sandboxes.h"
#include "server/streaming/orders.h"

namespace berth::server {

// All of them outlive the callbacks. `work`: for what a callback's result does later (sizes of terminals).
streaming::Callbacks StreamCallbacks(container::Containers& containers, sandbox::Sandboxes& sandboxes,
                                     base::Executor& work);

}  // namespace berth::server
