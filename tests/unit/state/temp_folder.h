// A folder of the test's own, gone at its end.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"

namespace berth::state {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-state-XXXXXX").native();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TempFolder() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    (void)base::RemoveTree(path_);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const base::Path& path() const { return path_; }
  base::Path operator/(const std::string& name) const { return path_ / name; }

  // Puts a tmpfs of so many bytes over it; the errno, 0 for success.
  int MountSmall(const std::string& size) {
    if (mount("tmpfs", path_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, ("size=" + size).c_str()) != 0) return errno;
    mounted_ = true;
    return 0;
  }

 private:
  base::Path path_;
  bool mounted_ = false;
};

// Takes every byte that is left; the file system's blocks are 4096 bytes or a divisor of it.
inline void FillUp(const base::Path& file) {
  const std::string chunk(4096, 'x');
  auto fd = base::Open(file, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(fd);
  while (base::WriteAll(fd->get(), chunk, "fill")) {
  }
  while (base::WriteAll(fd->get(), "x", "fill")) {
  }
}

}  // namespace berth::state
