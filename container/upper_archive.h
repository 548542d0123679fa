// What a container has changed in its root, as an archive and a list: the form in which checkpoints carry it.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/tar_writer.h"

namespace berth::container {

// Writes what is in the upper folder of an overlay. Returns what it hides of `lower` (top first) as absolute paths, a
// folder without what is below it. Processes may work in the overlay meanwhile: nothing outside the folder is read,
// what vanishes on the way is left out. Sockets are left out. kUnimplemented for a folder that overlayfs moved by a
// mark alone.
base::Result<std::vector<std::string>> ArchiveUpper(const base::Path& upper, const std::vector<base::Path>& lower,
                                                    image::TarWriter& out, const base::Context& context);

}  // namespace berth::container
