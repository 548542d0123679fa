#include "container/upper_archive.h"

#include <fcntl.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/executor.h"
#include "base/strings.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::container {
namespace {

std::string Deep(int levels) {
  std::string path = "upper";
  for (int i = 0; i < levels; ++i) path += "/d";
  return path;
}

// A container chooses how deep its folders stand; the daemon's threads have small stacks.
base::Result<std::vector<std::string>> ArchiveOnASmallStack(const image::TempFolder& temp) {
  const auto file = base::Open(temp.path() / "out.tar", O_WRONLY | O_CREAT | O_TRUNC);
  EXPECT_TRUE(file);
  base::Result<std::vector<std::string>> result;
  {
    base::Executor thread({.name = "small", .threads = 1, .queue = 1, .stack_bytes = 256 << 10});
    EXPECT_TRUE(thread.Submit([&] {
      image::TarWriter out(file->get(), "out.tar");
      result = ArchiveUpper(temp.path() / "upper", {}, out, base::Context().WithTimeout(std::chrono::seconds(60)));
    }));
  }
  return result;
}

TEST(UpperArchive, FoldersThatAreDeep) {
  const image::TempFolder temp;
  std::filesystem::create_directories(temp.path() / Deep(500));
  const auto hidden = ArchiveOnASmallStack(temp);
  ASSERT_TRUE(hidden) << hidden.error().Text();
  EXPECT_THAT(*hidden, testing::IsEmpty());
  EXPECT_THAT(base::ReadFile(temp.path() / "out.tar").value_or(""), testing::HasSubstr(Deep(500).substr(6)));
}

TEST(UpperArchive, FoldersThatAreTooDeepAreRefused) {
  const image::TempFolder temp;
  std::filesystem::create_directories(temp.path() / Deep(501));
  const auto hidden = ArchiveOnASmallStack(temp);
  ASSERT_FALSE(hidden);
  EXPECT_EQ(hidden.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(hidden.error().message, testing::HasSubstr("nested deeper than 500"));
}

}  // namespace
}  // namespace berth::container
