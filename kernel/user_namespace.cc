#include "kernel/user_namespace.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

// Far more than a few system calls take.
constexpr std::chrono::seconds kHoldLimit{30};

Status WriteMap(pid_t pid, const char* file, IdRange range) {
  return base::WriteKernelFile(base::Cat("/proc/", pid, "/", file), base::Cat("0 ", range.host, " ", range.size));
}

Result<UniqueFd> CloneMapped(const Path& source, int space) {
  const std::string what = base::Cat("map the owners of ", source.native());
  UniqueFd tree(open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return FailErrno(errno, what, ": copy");
  mount_attr attributes{
      .attr_set = MOUNT_ATTR_IDMAP, .attr_clr = 0, .propagation = 0, .userns_fd = static_cast<uint64_t>(space)};
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) return FailErrno(errno, what);
  return tree;
}

}  // namespace

Result<NamespaceHolder> HoldNamespaces(const Path& helper, const UserMap& map, int flags) {
  ASSIGN_OR_RETURN(base::Pipe input, base::MakePipe());
  ASSIGN_OR_RETURN(base::Pipe output, base::MakePipe());
  ASSIGN_OR_RETURN(base::Child child, base::Spawn({.program = helper,
                                                   .arguments = {"berth-helper", "hold", std::to_string(flags)},
                                                   .fds = {{input.read.get(), 0}, {output.write.get(), 1}}}));
  output.write.Reset();
  const base::Context context = base::Context().WithTimeout(kHoldLimit);
  if (auto ready = context.Wait(output.read.get(), POLLIN, "make a user namespace"); !ready)
    return tl::make_unexpected(std::move(ready).error());
  std::array<char, 32> answer{};
  const ssize_t got = read(output.read.get(), answer.data(), answer.size() - 1);
  int err = 0;
  if (got > 0 && sscanf(answer.data(), "error %d", &err) == 1) return FailErrno(err, "make a user namespace");
  if (got <= 0 || std::string_view(answer.data()) != "held\n")
    return Fail(Code::kInternal, "make a user namespace: berth-helper gave no proper answer");
  RETURN_IF_ERROR(WriteMap(child.pid(), "uid_map", map.uids));
  RETURN_IF_ERROR(WriteMap(child.pid(), "gid_map", map.gids));
  return NamespaceHolder{.child = std::move(child), .input = std::move(input.write)};
}

Status MountMapped(const Path& source, const Path& target, const Path& space) {
  ASSIGN_OR_RETURN(const UniqueFd held, base::Open(space, O_RDONLY));
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneMapped(source, held.get()));
  if (move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return FailErrno(errno, "mount on ", target.native());
  return {};
}

Result<bool> CanMountMapped(const Path& folder, const Path& helper) {
  utsname name{};
  int major = 0;
  int minor = 0;
  // mount_setattr knows nothing of overlayfs.
  if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) return Fail(Code::kInternal, "uname");
  if (std::pair(major, minor) < std::pair(5, 19)) return false;
  ASSIGN_OR_RETURN(const NamespaceHolder holder,
                   HoldNamespaces(helper, {.uids = {.host = 1, .size = 1}, .gids = {.host = 1, .size = 1}}, 0));
  ASSIGN_OR_RETURN(const UniqueFd space, base::Open(base::Cat("/proc/", holder.child.pid(), "/ns/user"), O_RDONLY));
  const auto mapped = CloneMapped(folder, space.get());
  if (!mapped && mapped.error().err != EINVAL && mapped.error().err != EOPNOTSUPP)
    return tl::make_unexpected(mapped.error());
  return mapped.has_value();
}

}  // namespace berth::kernel
