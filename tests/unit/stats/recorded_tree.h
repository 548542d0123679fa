// The cgroup hierarchies below recorded/ as a kernel::CgroupTree. v1 was read on a v1 host, v2's cpu.stat and pressure
// files on a hybrid one; block devices and the rest of v2 are written in the form that the kernel documents.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/file.h"
#include "kernel/cgroup.h"

namespace berth::stats {

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/berth-stats-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempFolder() { EXPECT_TRUE(base::RemoveTree(path_).has_value()); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const base::Path& path() const { return path_; }
  base::Path File(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(base::MakeDirs((path_ / name).parent_path()).has_value());
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  base::Path path_;
};

// `root` has a folder for each v1 hierarchy, or is the v2 one.
inline kernel::CgroupTree TreeAt(const TempFolder& temp, const base::Path& root, bool v2) {
  std::string text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
  if (v2) {
    text += "30 22 0:30 / " + root.native() + " rw - cgroup2 cgroup2 rw\n";
  } else {
    int id = 30;
    for (const char* name : {"cpu", "cpuacct", "memory", "pids", "blkio"}) {
      const std::string number = std::to_string(id++);
      text += number + " 22 0:" + number + " / " + (root / name).native() + " rw - cgroup cgroup rw," + name + "\n";
    }
  }
  auto tree = kernel::CgroupTree::Detect(temp.File("mountinfo", text));
  EXPECT_TRUE(tree.has_value());
  return tree ? *tree : kernel::CgroupTree();
}

}  // namespace berth::stats
