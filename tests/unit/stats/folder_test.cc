#include "server/stats/folder.h"

#include "recorded_tree.h"

namespace berth::stats {
namespace {

TEST(Folder, FilesLargerThanTheBufferAreReadWhole) {
  TempFolder temp;
  const std::string text(100'000, 'x');
  temp.File("large", text);
  const Folder folder(temp.path(), {});
  std::string buffer;
  EXPECT_EQ(folder.Read("large", buffer), text);
  EXPECT_EQ(folder.Read("missing", buffer), std::nullopt);
  EXPECT_EQ(Folder().Read("large", buffer), std::nullopt);
  EXPECT_FALSE(Folder(temp.path() / "missing", {}).valid());
}

TEST(Folder, KeptFileIsReadAsItIsNow) {
  TempFolder temp;
  temp.File("kept", "1\n");
  const Folder folder(temp.path(), {"kept", "later"});
  std::string buffer;
  EXPECT_EQ(folder.ReadNumber("kept", buffer), 1U);
  temp.File("kept", "12345\n");
  EXPECT_EQ(folder.ReadNumber("kept", buffer), 12345U);
  // Open once: its name is not looked at again.
  ASSERT_EQ(unlink((temp.path() / "kept").c_str()), 0);
  EXPECT_EQ(folder.ReadNumber("kept", buffer), 12345U);
}

TEST(Folder, FileThatComesLaterIsFound) {
  TempFolder temp;
  const Folder folder(temp.path(), {"later"});
  std::string buffer;
  EXPECT_EQ(folder.Read("later", buffer), std::nullopt);
  temp.File("later", "7\n");
  EXPECT_EQ(folder.ReadNumber("later", buffer), 7U);
}

}  // namespace
}  // namespace berth::stats
