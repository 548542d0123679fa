// Calls on paths that others control (a hostPath, a device): they may lie on a file system whose server is dead, where
// stat(2) never returns. What the kernel can answer from its caches is answered at once; everything else is done by
// berth-helper, a process that can be given up.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::kernel {

struct ForeignPath {
  enum class Kind { kFolder, kFile, kBlockDevice, kCharDevice, kFifo, kSocket };
  base::Path resolved;  // absolute and free of links; the path as asked for when it does not exist
  bool exists = false;
  Kind kind = Kind::kFolder;  // this and the rest mean something only if it exists
  dev_t rdev = 0;             // of a device
  mode_t mode = 0;            // permission bits, set-id and sticky bits
  uid_t uid = 0;
  gid_t gid = 0;
};

// Thread-safe. Destroying it leaves helpers that are stuck in the kernel to themselves.
class ForeignPaths {
 public:
  struct Options {
    base::Path helper = "/usr/libexec/berth/berth-helper";
    std::chrono::milliseconds deadline{2000};  // for one call, within the context's own
    size_t cap = 64;                           // helpers at a time, running or stuck
    // … and of these on one mount (one path, where the mount is not what it may hang on): one dead server cannot use
    // up the helpers of all.
    size_t cap_per_place = 8;
  };
  explicit ForeignPaths(Options options);
  ~ForeignPaths();
  ForeignPaths(const ForeignPaths&) = delete;
  ForeignPaths& operator=(const ForeignPaths&) = delete;

  // What is at the absolute path, links followed. A path that does not exist is success with exists == false.
  // kInvalidArgument for a path that is not absolute or has a component that is no folder, kDeadlineExceeded when the
  // kernel did not answer in time, kUnavailable when too many helpers are at work or stuck already.
  base::Result<ForeignPath> Inspect(const base::Path& path, const base::Context& context);

  // Inspect; a path that does not exist is made as a folder, missing parents too (mode as asked, whatever the umask).
  base::Result<ForeignPath> EnsureFolder(const base::Path& path, mode_t mode, const base::Context& context);

  // Binds what is at the absolute path, and all that is mounted below, on `target`, which exists and is of the same
  // kind. With a user namespace pinned at `space` it has the owners seen from there (what is below keeps its own); err
  // EINVAL where the file system cannot do that.
  base::Status Bind(const base::Path& path, const base::Path& target, const base::Path& space,
                    const base::Context& context);

  // Gives what is at the absolute path, and all below, an SELinux label. Links get none and are not followed; a file
  // system without labels is success. Takes as long as there are files: bounded by the context alone.
  base::Status Relabel(const base::Path& path, const std::string& label, const base::Context& context);

  // Helpers that were given up and have not ended yet.
  size_t StuckHelpers();
  // Helpers given up since the start: for a counter.
  uint64_t AbandonedHelpers();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::kernel
