// How much a folder holds, counted by its file system as it is written: project quotas of ext4 and XFS. Nothing is
// limited here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::kernel {

struct ProjectUsage {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

// Thread-safe. Nothing remembers which ids are taken but the file system: an id is free again once the last inode that
// bears it is gone, over restarts and crashes too.
class ProjectQuota {
 public:
  // Of the file system that the folder is on. Fails where nobody counts by project there (kFailedPrecondition; ext4
  // and XFS do when mounted with "prjquota") or the kernel cannot be asked (before Linux 5.14).
  static base::Result<std::unique_ptr<ProjectQuota>> Open(const base::Path& folder);

  // One that nothing on the file system bears, and that this returned to nobody else lately.
  base::Result<uint32_t> NewId();
  // What is made in the folder from now on counts for the project, and so does the folder. kFailedPrecondition when it
  // has a project already: an administrator's own limits stay in force.
  static base::Status Assign(const base::Path& folder, uint32_t id);
  // Which of the ids that NewId gives the folder bears; 0: none of them.
  static uint32_t IdOf(const base::Path& folder);

  base::Result<ProjectUsage> Read(uint32_t id) const;

 private:
  explicit ProjectQuota(base::UniqueFd fd) : fd_(std::move(fd)) {}

  const base::UniqueFd fd_;
  std::atomic<uint32_t> next_ = 0;
};

}  // namespace berth::kernel
