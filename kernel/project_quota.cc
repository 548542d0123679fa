#include "kernel/project_quota.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace berth::kernel {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

// Others count from small numbers on, or from 2^20 (the kubelet).
constexpr uint32_t kFirstId = 0x62657000;  // "bep"
constexpr uint32_t kIds = 1 << 20;
constexpr uint32_t kMostTries = 100'000;  // more containers than that are not on one node
constexpr int kProject = 2;               // PRJQUOTA, which the C library's header has not

bool IsOurs(uint32_t id) {
  return id >= kFirstId && id - kFirstId < kIds;
}

Result<fsxattr> ReadAttributes(int fd, const Path& folder) {
  fsxattr out{};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &out) != 0) return FailErrno(errno, "project of ", folder.native());
  return out;
}

}  // namespace

Result<std::unique_ptr<ProjectQuota>> ProjectQuota::Open(const Path& folder) {
  ASSIGN_OR_RETURN(UniqueFd fd, base::Open(folder, O_RDONLY | O_DIRECTORY));
  // The file system may count without letting anybody set a project.
  RETURN_IF_ERROR(ReadAttributes(fd.get(), folder));
  std::unique_ptr<ProjectQuota> out(new ProjectQuota(std::move(fd)));
  RETURN_IF_ERROR(out->Read(0), folder.native());
  return out;
}

Result<uint32_t> ProjectQuota::NewId() {
  for (uint32_t i = 0; i < kMostTries; ++i) {
    const uint32_t id = kFirstId + next_.fetch_add(1) % kIds;
    ASSIGN_OR_RETURN(const ProjectUsage usage, Read(id));
    if (usage.inodes == 0) return id;
  }
  return Fail(Code::kResourceExhausted, "no project id is free");
}

Status ProjectQuota::Assign(const Path& folder, uint32_t id) {
  ASSIGN_OR_RETURN(const UniqueFd fd, base::Open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(fsxattr attributes, ReadAttributes(fd.get(), folder));
  if (attributes.fsx_projid != 0) {
    return Fail(Code::kFailedPrecondition, folder.native(), " has project ", attributes.fsx_projid, " already");
  }
  attributes.fsx_projid = id;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes) != 0) {
    return FailErrno(errno, "set project ", id, " of ", folder.native());
  }
  return {};
}

uint32_t ProjectQuota::IdOf(const Path& folder) {
  const auto fd = base::Open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd) return 0;
  const auto attributes = ReadAttributes(fd->get(), folder);
  return attributes && IsOurs(attributes->fsx_projid) ? attributes->fsx_projid : 0;
}

Result<ProjectUsage> ProjectQuota::Read(uint32_t id) const {
  dqblk usage{};
  if (syscall(SYS_quotactl_fd, fd_.get(), QCMD(Q_GETQUOTA, kProject), id, &usage) == 0) {
    return ProjectUsage{.bytes = usage.dqb_curspace, .inodes = usage.dqb_curinodes};
  }
  if (errno == ENOENT) return ProjectUsage();  // XFS, of an id that it has never seen
  if (errno == ESRCH) return Fail(Code::kFailedPrecondition, "usage is not counted by project (mount option prjquota)");
  return FailErrno(errno, "usage of project ", id);
}

}  // namespace berth::kernel
