// Mounts: made, looked up in mountinfo, and taken away again. All calls act in the mount namespace of the caller's
// thread, may be used from any thread, and block only as long as the kernel does for the file systems named: a path
// that others control goes through ForeignPaths first.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::kernel {

struct OverlaySpec {
  std::vector<base::Path> lower;  // topmost first, absolute, at least one; 128 always fit
  base::Path upper;               // empty: the overlay is read-only
  base::Path work;                // on the file system of `upper`; empty exactly when `upper` is
  base::Path target;
  // A folder with nothing in it: overlay wants two lower layers when there is no upper one. Used only then.
  base::Path empty;
  std::string label{};               // SELinux's, for all that it shows; empty: none
  std::vector<std::string> options;  // further options of the file system: "volatile", "userxattr", "index=off"
  bool read_only = false;
};
// Uses fsconfig("lowerdir+") where the kernel has it (6.8) and mount(2) elsewhere. kInvalidArgument for a spec that no
// overlay can have.
base::Status MountOverlay(const OverlaySpec& spec);

struct MountFlags {
  bool read_only = false;
  bool no_suid = false;
  bool no_dev = false;
  bool no_exec = false;
};
enum class Recursion { kThisMount, kAllBelow };

// The target must exist and be of the source's kind. A symbolic link as last component of `source` is followed, one of
// `target` is not. Flags need Linux 5.12.
base::Status BindMount(const base::Path& source, const base::Path& target, Recursion recursion = Recursion::kThisMount,
                       MountFlags flags = {});
// The same for what `source_fd` refers to; O_PATH is enough.
base::Status BindMountFd(int source_fd, const base::Path& target, Recursion recursion = Recursion::kThisMount,
                         MountFlags flags = {});
base::Status MountTmpfs(const base::Path& target, uint64_t size_bytes, mode_t mode, MountFlags flags = {});

// Takes away whatever is mounted on `path`, stacked mounts too, at once for us and for good when its last user is gone
// (MNT_DETACH). Never follows a link. Nothing mounted, or no such path, is success.
base::Status Unmount(const base::Path& path);
// Unmount for every mount point strictly below `prefix`, last made first. Goes on after a failure and returns the
// first.
base::Status UnmountBelow(const base::Path& prefix);

// Owner of one mount point. The destructor is the last resort: it unmounts and tells nobody of a failure.
class Mount {
 public:
  Mount() = default;
  explicit Mount(base::Path target) : target_(std::move(target)) {}
  Mount(Mount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
  Mount& operator=(Mount&& other) noexcept;
  ~Mount();

  const base::Path& target() const { return target_; }
  base::Status Close();  // Unmount; owns nothing afterwards, unless it failed
  base::Path Release();  // owns nothing afterwards; the mount stays

 private:
  base::Path target_;
};

// One line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct MountPoint {
  int id = 0;
  int parent = 0;
  dev_t device = 0;
  base::Path root;    // what of the file system is mounted
  base::Path target;  // where, as seen from our root
  std::string options;
  int shared = 0;  // peer group, 0 when it does not propagate
  int master = 0;  // peer group it receives from, 0 for none
  std::string type;
  std::string source;
  std::string super_options;
};
base::Result<std::vector<MountPoint>> Mounts();
base::Result<std::vector<MountPoint>> ParseMountInfo(std::string_view text);

// The mount that the absolute, link-free `path` lies in, found in the list alone: nothing on `path` is touched, so a
// dead file system cannot hang it. nullptr when the list has no root.
const MountPoint* MountOf(const std::vector<MountPoint>& mounts, const base::Path& path);

struct Propagation {
  base::Path mount;     // where the mount that holds the path is mounted
  bool shared = false;  // BIDIRECTIONAL needs this
  bool slave = false;   // HOST_TO_CONTAINER needs shared or slave
};
// For an absolute path whose links are resolved (ForeignPath::resolved). Touches nothing on it, as MountOf.
base::Result<Propagation> PropagationOf(const base::Path& path);

// Whether `path` itself (a link is not followed) is the root of a mount. A missing path is not.
base::Result<bool> IsMountPoint(const base::Path& path);

}  // namespace berth::kernel
