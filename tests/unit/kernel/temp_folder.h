// A folder of the test's own; at the end whatever is still mounted below it is a failure of the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/file.h"
#include "kernel/mount.h"

namespace berth::kernel {

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/berth-kernel-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempFolder() {
    const auto mounts = Mounts();
    EXPECT_TRUE(mounts.has_value());
    for (const MountPoint& mount : *mounts) {
      EXPECT_FALSE(mount.target.native().starts_with(path_.native())) << "left behind: " << mount.target;
    }
    EXPECT_TRUE(UnmountBelow(path_).has_value());
    EXPECT_TRUE(base::RemoveTree(path_).has_value());
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const base::Path& path() const { return path_; }
  base::Path operator/(const std::string& name) const { return path_ / name; }
  base::Path Folder(const std::string& name) const {
    EXPECT_TRUE(base::MakeDirs(path_ / name).has_value());
    return path_ / name;
  }
  base::Path File(const std::string& name, const std::string& text = {}) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  base::Path path_;
};

inline std::string Contents(const base::Path& path) {
  auto text = base::ReadFile(path);
  return text ? *text : "<" + text.error().message + ">";
}

#define EXPECT_OK(expression)                                               \
  do {                                                                      \
    const auto& berth_outcome = (expression);                               \
    EXPECT_TRUE(berth_outcome.has_value()) << berth_outcome.error().Text(); \
  } while (false)
#define ASSERT_OK(expression)                                               \
  do {                                                                      \
    const auto& berth_outcome = (expression);                               \
    ASSERT_TRUE(berth_outcome.has_value()) << berth_outcome.error().Text(); \
  } while (false)
#define EXPECT_CODE(expression, wanted)                                                         \
  do {                                                                                          \
    const auto& berth_outcome = (expression);                                                   \
    ASSERT_FALSE(berth_outcome.has_value());                                                    \
    EXPECT_EQ(berth::base::CodeName(berth_outcome.error().code), berth::base::CodeName(wanted)) \
        << berth_outcome.error().Text();                                                        \
  } while (false)

#define SKIP_UNLESS_ROOT(what) \
  if (geteuid() != 0) GTEST_SKIP() << what << " needs root"

}  // namespace berth::kernel
