// The least that a registry can do: an OCI layout's blobs over HTTP by sendfile, so that what is measured is who pulls.
#pragma once

#include "base/file.h"

namespace berth::bench {

// Serves `layout` (an OCI image layout folder, its index.json as every tag) on a port of the kernel's choice, which is
// printed. Does not return.
[[noreturn]] void ServeLayout(const base::Path& layout);

}  // namespace berth::bench
