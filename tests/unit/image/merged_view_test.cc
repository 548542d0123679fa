#include "image/merged_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

using testing::ElementsAre;

class MergedViewTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"top/a", "bottom/a/b/c", "bottom/x/y"})
      std::filesystem::create_directories(temp_.path() / folder);
    ASSERT_EQ(symlink("a/b", (temp_.path() / "bottom/s").c_str()), 0);
    ASSERT_EQ(symlink("../x", (temp_.path() / "bottom/a/up").c_str()), 0);
  }
  std::vector<size_t> Layers(std::string_view path) {
    const auto found = view_.Find(path);
    EXPECT_TRUE(found);
    return *found ? (*found)->layers : std::vector<size_t>();
  }

  TempFolder temp_;
  MergedView view_{{temp_.path() / "top", temp_.path() / "bottom"}};
};

TEST_F(MergedViewTest, FindsAFolderInEachLayerThatHasIt) {
  EXPECT_THAT(Layers(""), ElementsAre(0, 1));
  EXPECT_THAT(Layers("a"), ElementsAre(0, 1));
  EXPECT_THAT(Layers("a/b/c"), ElementsAre(1));
  EXPECT_THAT(Layers("a/b/none"), ElementsAre());
  EXPECT_THAT(Layers("s/c"), ElementsAre()) << "a link is not followed";
}

// What is remembered of one path must not be taken for a part of the next.
TEST_F(MergedViewTest, EachPathIsLookedUpOnItsOwnWay) {
  EXPECT_THAT(Layers("a/b/c"), ElementsAre(1));
  EXPECT_THAT(Layers("a/bb/c"), ElementsAre());
  EXPECT_THAT(Layers("x/y"), ElementsAre(1));
  EXPECT_THAT(Layers("x/y/z"), ElementsAre());
  EXPECT_THAT(Layers("a/b"), ElementsAre(1));
  EXPECT_THAT(Layers("a/b/c/d/e"), ElementsAre());
  EXPECT_THAT(Layers("a/b/c"), ElementsAre(1));
  EXPECT_THAT(Layers("a"), ElementsAre(0, 1));
}

TEST_F(MergedViewTest, ResolvesLinksAsIfTheRootWereTheHosts) {
  EXPECT_EQ(view_.Resolve("s/c", true).value(), "a/b/c");
  EXPECT_EQ(view_.Resolve("a/up/y", true).value(), "x/y");
  EXPECT_EQ(view_.Resolve("../../a/up", false).value(), "a/up");
  EXPECT_EQ(view_.Resolve("s/none", true).value(), std::nullopt);
}

TEST_F(MergedViewTest, AChangeIsSeenAfterForget) {
  EXPECT_THAT(Layers("a/b/c"), ElementsAre(1));
  std::filesystem::create_directories(temp_.path() / "top/a/b/c");
  view_.Forget();
  EXPECT_THAT(Layers("a/b/c"), ElementsAre(0, 1));
  std::filesystem::remove_all(temp_.path() / "bottom/a");
  std::filesystem::remove_all(temp_.path() / "top/a");
  view_.Forget();
  EXPECT_THAT(Layers("a/b/c"), ElementsAre());
}

}  // namespace
}  // namespace berth::image
