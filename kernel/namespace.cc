#include "kernel/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>

#include "base/guarded.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kMaxHostname = 64;  // HOST_NAME_MAX
constexpr size_t kMaxSysctls = 1024;
constexpr size_t kMaxSysctlValue = 4095;  // procfs takes one page

// A namespace that is left belongs to a thread alone, so it is a thread that must end afterwards.
Status OnThread(const std::function<Status()>& work) {
  Status status;
  try {
    std::thread thread([&] { status = work(); });
    thread.join();
  } catch (const std::system_error& error) {
    return FailErrno(error.code().value(), "start a thread");
  }
  return status;
}

Status RaiseLoopback() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return FailErrno(errno, "socket");
  ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return FailErrno(errno, "read the flags of lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return FailErrno(errno, "set lo up");
  return {};
}

Status Pin(const std::string& source, const Path& path) {
  RETURN_IF_ERROR(base::MakeDirs(path.parent_path()));
  auto file = base::Open(path, O_RDONLY | O_CREAT | O_EXCL, 0444);
  if (!file && file.error().err == EEXIST)
    return Fail(Code::kAlreadyExists, "pin namespace at ", path.native(), ": exists");
  if (!file) return tl::make_unexpected(std::move(file).error());
  if (mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const int err = errno;
    unlink(path.c_str());
    return FailErrno(err, "pin namespace at ", path.native());
  }
  return {};
}

struct Wanted {
  int flag;
  std::string source;
  const std::optional<Path>& path;
};

// A thread cannot make a user namespace nor enter one: it joins what a process of its own has made there.
Result<NamespaceHolder> EnterHeld(const NamespaceRequest& request, int flags) {
  ASSIGN_OR_RETURN(NamespaceHolder holder, HoldNamespaces(request.helper, request.map, flags));
  if (flags != 0 && setns(holder.child.pidfd(), flags) != 0) return FailErrno(errno, "enter the new namespaces");
  return holder;
}

// The kernel knows which it has for a namespace, and what they may be.
Status SetSysctl(const Path& file, const std::string& value) {
  Status written = base::WriteKernelFile(file, value);
  if (written) return written;
  const int err = written.error().err;
  if (err == ENOENT || err == EACCES || err == EPERM || err == EINVAL || err == ERANGE)
    written.error().code = Code::kInvalidArgument;
  return written;
}

// Runs on the thread that lives for nothing else.
Status MakeAndPin(const NamespaceRequest& request, const std::vector<std::pair<Path, std::string>>& sysctls) {
  const std::string own = "/proc/thread-self/ns/";
  std::vector<Wanted> all = {{CLONE_NEWNET, own + "net", request.net},
                             {CLONE_NEWIPC, own + "ipc", request.ipc},
                             {CLONE_NEWUTS, own + "uts", request.uts}};
  int flags = 0;
  for (const Wanted& one : all) flags |= one.path ? one.flag : 0;
  NamespaceHolder holder;
  if (request.user) {
    ASSIGN_OR_RETURN(holder, EnterHeld(request, flags));
    all.push_back({0, base::Cat("/proc/", holder.child.pid(), "/ns/user"), request.user});
  } else if (unshare(flags) != 0) {
    return FailErrno(errno, "make namespaces");
  }
  if (!request.hostname.empty() && sethostname(request.hostname.data(), request.hostname.size()) != 0) {
    return FailErrno(errno, "set hostname ", request.hostname);
  }
  if (request.net && request.loopback_up) RETURN_IF_ERROR(RaiseLoopback());
  // /proc/sys shows to each thread the values of the namespaces it is in.
  for (const auto& [file, value] : sysctls) RETURN_IF_ERROR(SetSysctl(file, value), "set sysctl");

  std::vector<Path> pinned;
  for (const Wanted& one : all) {
    if (!one.path) continue;
    Status status = Pin(one.source, *one.path);
    if (status) {
      pinned.push_back(*one.path);
      continue;
    }
    for (const Path& path : pinned) {
      if (const Status undone = UnpinNamespace(path); !undone) status.error().clean_up += undone.error().message + "; ";
    }
    return status;
  }
  return {};
}

bool Has(const NamespaceRequest& request, SysctlNamespace space) {
  switch (space) {
    case SysctlNamespace::kNet:
      return request.net.has_value();
    case SysctlNamespace::kIpc:
      return request.ipc.has_value();
    case SysctlNamespace::kUts:
      return request.uts.has_value();
  }
  return false;
}

Result<std::vector<std::pair<Path, std::string>>> CheckSysctls(const NamespaceRequest& request) {
  std::vector<std::pair<Path, std::string>> out;
  if (request.sysctls.size() > kMaxSysctls) return Fail(Code::kInvalidArgument, "more than ", kMaxSysctls, " sysctls");
  for (const auto& [name, value] : request.sysctls) {
    ASSIGN_OR_RETURN(const Sysctl sysctl, ParseSysctl(name));
    if (!Has(request, sysctl.space)) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, ": the pod shares this namespace with the host");
    }
    if (value.size() > kMaxSysctlValue || value.find('\0') != std::string::npos) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, ": not a possible value");
    }
    out.emplace_back(Path("/proc/sys") / sysctl.file, value);
  }
  return out;
}

}  // namespace

Status CreateNamespaces(const NamespaceRequest& request) {
  if (!request.hostname.empty() && !request.uts) {
    return Fail(Code::kInvalidArgument, "hostname ", request.hostname, ": the pod shares this namespace with the host");
  }
  if (request.hostname.size() > kMaxHostname)
    return Fail(Code::kInvalidArgument, "hostname: longer than ", kMaxHostname, " bytes");
  ASSIGN_OR_RETURN(const auto sysctls, CheckSysctls(request));
  return OnThread([&] { return MakeAndPin(request, sysctls); });
}

Status UnpinNamespace(const Path& path) {
  RETURN_IF_ERROR(Unmount(path));
  return base::RemoveFile(path);
}

Status PrepareNetnsFolder(const Path& folder) {
  RETURN_IF_ERROR(base::MakeDirs(folder));
  ASSIGN_OR_RETURN(const bool mounted, IsMountPoint(folder));
  // With all that is mounted below, so that what is pinned already stays visible.
  if (!mounted) RETURN_IF_ERROR(BindMount(folder, folder, Recursion::kAllBelow));
  if (mount(nullptr, folder.c_str(), nullptr, MS_SHARED | MS_REC, nullptr) != 0) {
    return FailErrno(errno, "share the mount ", folder.native());
  }
  return {};
}

Result<bool> IsNamespaceFile(const Path& path) {
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return FailErrno(errno, "statfs ", path.native());
  }
  return info.f_type == NSFS_MAGIC;
}

Status RunInNetNs(const Path& path, std::function<Status()> work, const base::Context& context) {
  ASSIGN_OR_RETURN(const bool pinned, IsNamespaceFile(path));
  if (!pinned) return Fail(Code::kNotFound, "network namespace ", path.native(), ": not there");
  // Shared with a thread that may outlive this call.
  struct Job {
    UniqueFd space;
    UniqueFd done;
    std::function<Status()> work;
    base::Guarded<Status> status;
  };
  auto job = std::make_shared<Job>();
  ASSIGN_OR_RETURN(job->space, base::Open(path, O_RDONLY));
  job->done.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!job->done) return FailErrno(errno, "eventfd");
  job->work = std::move(work);
  const std::string what = base::Cat("work in network namespace ", path.native());
  try {
    std::thread([job, what] {
      Status status = setns(job->space.get(), CLONE_NEWNET) == 0 ? job->work() : Status(FailErrno(errno, what));
      job->status.With([&](Status& slot) { slot = std::move(status); });
      eventfd_write(job->done.get(), 1);
    }).detach();
  } catch (const std::system_error& error) {
    return FailErrno(error.code().value(), "start a thread");
  }
  ASSIGN_OR_RETURN(const bool done, context.Wait(job->done.get(), POLLIN, what));
  (void)done;  // without `until`, Wait returns only true or an error
  return job->status.With([](Status& slot) { return std::move(slot); });
}

}  // namespace berth::kernel
