// Children that were killed and did not end within a second: they wait in the kernel, uninterruptibly, for something
// that may never come (a dead file server). ~Child writes them off instead of waiting with them.
#pragma once

#include <cstddef>

namespace berth::base {

// Reaps those that have ended since, as every Spawn does too, and tells how many have not. Thread-safe, waits for
// nothing.
size_t WrittenOffChildren();

}  // namespace berth::base
