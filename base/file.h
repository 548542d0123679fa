// Files and folders: whole reads and writes, durable replacement, walking beneath a root.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::base {

using Path = std::filesystem::path;

// open(2) with O_CLOEXEC added. The error's text is "open <path>: ...", its `err` the errno.
Result<UniqueFd> Open(const Path& path, int flags, mode_t mode = 0);
Result<UniqueFd> OpenAt(int dir, const Path& path, int flags, mode_t mode = 0);

// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `path` is walked as if `root` were "/"; nothing outside
// `root` can be reached, by "..", absolute links or otherwise. Never blocks on a FIFO when O_NONBLOCK or O_PATH is
// given.
Result<UniqueFd> OpenInRoot(int root, const Path& path, int flags, mode_t mode = 0);
// mkdir -p in the same manner; returns the last folder, opened O_PATH. Existing folders are left as they are.
Result<UniqueFd> MakeDirsInRoot(int root, const Path& path, mode_t mode);

// The whole file. Fails with kResourceExhausted when it holds more than `limit` bytes. Works for /proc and /sys too.
Result<std::string> ReadFile(const Path& path, size_t limit = 16 << 20);
Result<std::string> ReadAll(int fd, size_t limit, std::string_view what);
Status WriteAll(int fd, std::string_view data, std::string_view what);

// One write(2) to an existing file, as cgroup and sysctl files want it (no O_CREAT, no O_TRUNC).
Status WriteKernelFile(const Path& path, std::string_view text);

// Replaces `path` whole: temporary name in the same folder, rename. With kDurable the data is flushed before the
// rename and the folder after it. A crash leaves the old or the new file and perhaps a name ending in ".tmp".
enum class Durability { kVolatile, kDurable };
Status WriteFile(const Path& path, std::string_view data, mode_t mode = 0600,
                 Durability durability = Durability::kVolatile);
// fsync of a folder: makes names that were made, renamed or removed in it durable.
Status SyncFolder(const Path& path);

// mkdir -p. An existing folder is success.
Status MakeDirs(const Path& path, mode_t mode = 0755);
// rm -rf that follows no symbolic link and stays on one file system: a mount inside is an error (EBUSY, EXDEV), nothing
// in it is touched. Already gone is success. Immutable flags are not lifted.
Status RemoveTree(const Path& path);
// unlink; already gone is success.
Status RemoveFile(const Path& path);
bool Exists(const Path& path);  // lstat says yes

// Names in a folder, without "." and "..", unsorted. A missing folder is an error with err ENOENT.
Result<std::vector<std::string>> ListFolder(const Path& path);

}  // namespace berth::base
