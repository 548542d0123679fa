#include "tests/e2e/harness/isolation.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

struct Hierarchy {
  Path mount_point;
  std::string options;  // for mount(2): "memory", "name=systemd"; empty for v2
  std::string folder;   // of this process, "/..."
  bool v2 = false;
};

long FileSystemOf(const char* path) {
  struct statfs info {};
  return ::statfs(path, &info) == 0 ? static_cast<long>(info.f_type) : 0;
}

bool HybridHost() {
  return FileSystemOf("/sys/fs/cgroup") != CGROUP2_SUPER_MAGIC &&
         FileSystemOf("/sys/fs/cgroup/unified") == CGROUP2_SUPER_MAGIC;
}

Status MountAt(const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
  if (::mount(source, target, type, flags, data) != 0)
    return FailErrno(errno, "mount ", type ? type : "", " on ", target);
  return {};
}

// The hierarchies that runtimes use and where this process is in each; a hybrid host's v2 one is left out.
Result<std::vector<Hierarchy>> Hierarchies() {
  ASSIGN_OR_RETURN(std::string text, base::ReadFile("/proc/self/cgroup"));
  bool v2_only = FileSystemOf("/sys/fs/cgroup") == CGROUP2_SUPER_MAGIC;
  std::vector<Hierarchy> found;
  for (std::string_view line : base::Split(base::Trim(text), '\n')) {
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    std::string options(line.substr(first + 1, second - first - 1));
    Hierarchy one{.folder = std::string(line.substr(second + 1))};
    if (options.empty()) {
      if (!v2_only) continue;
      one.mount_point = "/sys/fs/cgroup";
      one.v2 = true;
    } else {
      one.options = options;
      one.mount_point = Path("/sys/fs/cgroup") / (options.starts_with("name=") ? options.substr(5) : options);
    }
    if (base::Exists(one.mount_point)) found.push_back(std::move(one));
  }
  return found;
}

Path Below(const Hierarchy& hierarchy, std::string_view name) {
  return hierarchy.mount_point / Path(hierarchy.folder).relative_path() / name;
}

// v1 cpusets start empty and take no process until they are given what their parent has.
Status CopyCpuset(const Path& folder) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    if (!base::Exists(folder / file)) continue;
    ASSIGN_OR_RETURN(std::string value, base::ReadFile(folder.parent_path() / file));
    RETURN_IF_ERROR(base::WriteKernelFile(folder / file, base::Trim(value)));
  }
  return {};
}

// A v2 cgroup passes controllers on only while it has no process of its own: ours moves into one of its own below.
// The root can do both.
class InnerCgroup {
 public:
  Status Clear(const Hierarchy& own, const std::string& name) {
    folder_ = Below(own, "");
    leaf_ = Below(own, name + "-outside");
    RETURN_IF_ERROR(base::MakeDirs(leaf_));
    RETURN_IF_ERROR(base::WriteKernelFile(leaf_ / "cgroup.procs", "0"));
    ASSIGN_OR_RETURN(std::string has, base::ReadFile(folder_ / "cgroup.controllers"));
    ASSIGN_OR_RETURN(std::string given, base::ReadFile(folder_ / "cgroup.subtree_control"));
    for (std::string_view one : base::Split(base::Trim(has), ' ')) {
      if (one.empty() || given.find(one) != std::string::npos) continue;
      RETURN_IF_ERROR(base::WriteKernelFile(folder_ / "cgroup.subtree_control", Cat("+", one)),
                      "a cgroup of our own is needed, as systemd-run -p Delegate=yes makes one");
      switched_on_.emplace_back(one);
    }
    return {};
  }
  // Best effort: with systemd the cgroup ends with us.
  void Restore() {
    if (leaf_.empty()) return;
    for (const std::string& one : switched_on_)
      (void)base::WriteKernelFile(folder_ / "cgroup.subtree_control", "-" + one);
    (void)base::WriteKernelFile(folder_ / "cgroup.procs", "0");
    ::rmdir(leaf_.c_str());
  }

 private:
  Path folder_;
  Path leaf_;
  std::vector<std::string> switched_on_;
};

// Moves this process into a new cgroup `name` below its own in every hierarchy and makes that the root it sees.
Status EnterCgroups(const std::vector<Hierarchy>& hierarchies, const std::string& name) {
  for (const Hierarchy& hierarchy : hierarchies) {
    Path folder = Below(hierarchy, name);
    RETURN_IF_ERROR(base::MakeDirs(folder));
    if (!hierarchy.v2) RETURN_IF_ERROR(CopyCpuset(folder));
    RETURN_IF_ERROR(base::WriteKernelFile(folder / "cgroup.procs", "0"), "enter ", folder.string());
  }
  if (::unshare(CLONE_NEWCGROUP) != 0) return FailErrno(errno, "unshare cgroup namespace");
  for (const Hierarchy& hierarchy : hierarchies) {
    const char* target = hierarchy.mount_point.c_str();
    if (::umount2(target, MNT_DETACH) != 0) return FailErrno(errno, "unmount ", target);
    RETURN_IF_ERROR(MountAt("cgroup", target, hierarchy.v2 ? "cgroup2" : "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                            hierarchy.v2 ? nullptr : hierarchy.options.c_str()));
    if (!hierarchy.v2) continue;
    // A v2 cgroup has either processes or controllers for its children.
    RETURN_IF_ERROR(base::MakeDirs(hierarchy.mount_point / "runner"));
    RETURN_IF_ERROR(base::WriteKernelFile(hierarchy.mount_point / "runner/cgroup.procs", "0"));
    ASSIGN_OR_RETURN(std::string controllers, base::ReadFile(hierarchy.mount_point / "cgroup.controllers"));
    for (std::string_view one : base::Split(base::Trim(controllers), ' ')) {
      if (!one.empty())
        RETURN_IF_ERROR(base::WriteKernelFile(hierarchy.mount_point / "cgroup.subtree_control", Cat("+", one)));
    }
  }
  return {};
}

void RemoveCgroupTree(const Path& folder) {
  std::error_code ignored;
  std::vector<Path> folders;
  for (std::filesystem::recursive_directory_iterator at(folder, ignored), end; !ignored && at != end;
       at.increment(ignored)) {
    if (at->is_directory(ignored)) folders.push_back(at->path());
  }
  for (auto at = folders.rbegin(); at != folders.rend(); ++at) ::rmdir(at->c_str());
  ::rmdir(folder.c_str());
}

Status LoopbackUp() {
  base::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return FailErrno(errno, "socket");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return FailErrno(errno, "set lo up");
  return {};
}

Status SetUpMounts(bool own_pids) {
  RETURN_IF_ERROR(MountAt(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  if (own_pids) RETURN_IF_ERROR(MountAt("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  // crun leaves a small file there for each container, so room for a soak test's.
  if (HybridHost()) RETURN_IF_ERROR(MountAt("none", "/sys/fs/cgroup/unified", "tmpfs", 0, "size=512m,mode=755"));
  for (const char* folder : {"/run/netns", "/run/berth-e2e"}) {
    RETURN_IF_ERROR(base::MakeDirs(folder));
    RETURN_IF_ERROR(MountAt("none", folder, "tmpfs", 0, "mode=755"));
  }
  return MountAt(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr);
}

[[noreturn]] void Die(const base::Error& error) {
  std::fprintf(stderr, "berth_e2e: %s\n", error.Text().c_str());
  std::_Exit(99);
}

int CodeOf(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

void KillChildren() {
  auto children = base::ReadFile(Cat("/proc/self/task/", ::getpid(), "/children"));
  if (!children) return;
  for (std::string_view one : base::Split(base::Trim(*children), ' ')) {
    if (auto pid = base::ParseInt(one)) ::kill(static_cast<pid_t>(*pid), SIGKILL);
  }
}

// Reaps whatever is left to it until `child` has ended, then kills what it still inherits.
[[noreturn]] void AdoptUntilEnd(pid_t child) {
  int code = 0;
  bool ending = false;
  for (;;) {
    if (ending) KillChildren();
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) break;
    if (pid != child) continue;
    code = CodeOf(status);
    ending = true;
  }
  std::_Exit(code);
}

std::string FindProgram(const char* name) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/bin/", "/sbin/"}) {
    if (::access(Cat(folder, name).c_str(), X_OK) == 0) return Cat(folder, name);
  }
  return {};
}

}  // namespace

std::string WhyNotHere() {
  if (::geteuid() != 0) return "needs root: namespaces, mounts and cgroups";
  for (const char* program : {"docker-registry", "iptables-save"}) {
    if (FindProgram(program).empty()) return Cat(program, " is not installed");
  }
  for (const char* program : {"busybox", "python3", "zstd"}) {
    if (!::getenv("BERTH_E2E_REGISTRY_DATA") && FindProgram(program).empty())
      return Cat(program, " is not installed: images cannot be built");
  }
  if (FindProgram("crun").empty() && FindProgram("runc").empty()) return "neither crun nor runc is installed";
  if (!base::Exists("/usr/lib/cni/bridge")) return "the CNI plugins are not installed in /usr/lib/cni";
  return {};
}

int AdopterPid() {
  return ::getppid();
}

Result<Isolation> Isolate() {
  const char* driver = std::getenv("BERTH_E2E_DRIVER");
  Isolation isolation{.systemd =
                          base::Exists("/run/systemd/system") && !(driver && std::strcmp(driver, "cgroupfs") == 0)};
  bool own_pids = !isolation.systemd;
  std::string cgroup = Cat("berth-e2e-", ::getpid());
  ASSIGN_OR_RETURN(std::vector<Hierarchy> hierarchies, Hierarchies());

  InnerCgroup inner;
  for (const Hierarchy& hierarchy : hierarchies) {
    if (own_pids && hierarchy.v2) RETURN_IF_ERROR(inner.Clear(hierarchy, cgroup));
  }

  if (own_pids && ::unshare(CLONE_NEWPID) != 0) return FailErrno(errno, "unshare pid namespace");
  pid_t adopter = ::fork();
  if (adopter < 0) return FailErrno(errno, "fork");
  if (adopter > 0) {
    int status = 0;
    while (::waitpid(adopter, &status, 0) < 0 && errno == EINTR) {
    }
    if (own_pids) {
      for (const Hierarchy& hierarchy : hierarchies) RemoveCgroupTree(Below(hierarchy, cgroup));
      inner.Restore();
    }
    std::_Exit(CodeOf(status));
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) Die(FailErrno(errno, "unshare").value());
  if (auto status = SetUpMounts(own_pids); !status) Die(status.error());
  if (own_pids) {
    if (auto status = EnterCgroups(hierarchies, cgroup); !status) Die(status.error());
  }
  if (auto status = LoopbackUp(); !status) Die(status.error());
  pid_t tests = ::fork();
  if (tests < 0) return FailErrno(errno, "fork");
  if (tests > 0) AdoptUntilEnd(tests);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return isolation;
}

}  // namespace berth::e2e
