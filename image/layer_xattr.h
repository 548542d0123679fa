// Extended attributes of files in layers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::image {

inline constexpr size_t kMaxXattrBytes = 64 << 10;  // XATTR_SIZE_MAX
inline constexpr std::string_view kOpaqueXattr = "trusted.overlay.opaque";

// Names to which overlayfs gives a meaning: an archive must not set them, a copy must not carry them.
bool IsOverlayXattr(std::string_view name);

using Xattrs = std::vector<std::pair<std::string, std::string>>;

// On an open file, or with fd < 0 on a path whose last component is not followed. Overlay's names are skipped. What the
// file system does not know (ENOTSUP), and SELinux labels that are not ours to set, are left out silently, as other
// runtimes do.
base::Status SetXattrs(int fd, const std::string& path, const Xattrs& xattrs);

// Of a path whose last component is not followed; without those of overlayfs.
base::Result<Xattrs> ReadXattrs(const std::string& path);

base::Status SetOpaque(const std::string& path);
bool IsOpaque(const std::string& path);

// Gives `to` the owner, mode, attributes and times of `from`: same kind of file, neither followed when a link. An
// opaque mark on `to` stays.
base::Status CopyMetadata(const std::string& from, const std::string& to);

}  // namespace berth::image
