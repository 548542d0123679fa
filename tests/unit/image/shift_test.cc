#include "image/shift.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/executor.h"
#include "image/check.h"
#include "image/layer_xattr.h"
#include "image/rootfs.h"
#include "image/store.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr kernel::UserMap kMap{.uids = {.host = 1'000'000, .size = 65536}, .gids = {.host = 2'000'000, .size = 65536}};
constexpr kernel::UserMap kSame{.uids = {.host = 0, .size = 4'000'000'000}, .gids = {.host = 0, .size = 4'000'000'000}};

TEST(Shift, IdsOutsideTheMapAreNobody) {
  EXPECT_EQ(ShiftId(0, kMap.uids), 1'000'000u);
  EXPECT_EQ(ShiftId(65535, kMap.uids), 1'065'535u);
  EXPECT_EQ(ShiftId(65536, kMap.uids), 65534u);
  EXPECT_EQ(ShiftId(1'000'000, kMap.uids), 65534u);
  // Where nobody would be somebody inside.
  EXPECT_EQ(ShiftId(70'000, {.host = 60'000, .size = 10'000}), UINT32_MAX - 1);
}

std::string Capability(uint32_t revision, size_t size, uint32_t root = 0) {
  const std::array<uint32_t, 6> words{revision | VFS_CAP_FLAGS_EFFECTIVE, 1 << CAP_NET_RAW, 2, 3, 4, root};
  return std::string(reinterpret_cast<const char*>(words.data()), size);
}

TEST(Shift, CapabilitiesAreOfTheNamespacesRoot) {
  const std::string expected = Capability(VFS_CAP_REVISION_3, 24, 1'000'000);
  EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_2, 20), kMap.uids), expected);
  EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_3, 24, 7), kMap.uids),
            Capability(VFS_CAP_REVISION_3, 24, 1'000'007));
  std::string old = expected;
  old.replace(12, 8, 8, '\0');
  EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_1, 12), kMap.uids), old);
  EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_3, 24, 65536), kMap.uids), std::nullopt);
  for (const size_t size : {0, 3, 11})
    EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_2, size), kMap.uids), std::nullopt);
  EXPECT_EQ(ShiftCapability(Capability(VFS_CAP_REVISION_2, 19), kMap.uids), std::nullopt);
}

TEST(Shift, AclsNameTheHostsIds) {
  const auto acl = [](uint32_t user, uint32_t group) {
    struct Entry {
      uint16_t tag, permissions;
      uint32_t id;
    };
    const std::array<Entry, 4> entries{Entry{1, 7, UINT32_MAX}, Entry{2, 7, user}, Entry{8, 5, group},
                                       Entry{0x20, 4, UINT32_MAX}};
    return std::string("\2\0\0\0", 4) + std::string(reinterpret_cast<const char*>(entries.data()), sizeof entries);
  };
  EXPECT_EQ(ShiftAcl(acl(5, 6), kMap), acl(1'000'005, 2'000'006));
  for (const std::string& other :
       {std::string(), std::string("\2\0\0", 3), std::string("\3\0\0\0\2\0\0\0\0\0\0\0", 12)})
    EXPECT_EQ(ShiftAcl(other, kMap), other);
}

class ShiftTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners and trusted attributes need root";
    if (!SetOpaque(temp_.path().native()))
      GTEST_SKIP() << "the temporary folder's file system takes no trusted attributes";
    Reopen();
    store_->Collect();
  }
  void Reopen() {
    store_.reset();
    auto store = Store::Open({.folder = StoreFolder()});
    ASSERT_TRUE(store) << store.error().Text();
    store_ = *std::move(store);
  }
  base::Path StoreFolder() const { return temp_.path() / "images"; }
  ImagePtr Put(const std::vector<std::vector<TarItem>>& layers) {
    std::vector<LayerPin> pins;
    std::vector<Digest> parents;
    std::string diff_ids;
    for (const auto& items : layers) {
      auto unpacker = store_->BeginLayer().value();
      EXPECT_TRUE(unpacker->Write(Bytes(Tar(items))));
      auto layer = unpacker->Finish({}).value();
      diff_ids += base::Cat(diff_ids.empty() ? "\"" : ",\"", layer.diff_id.str(), '"');
      const Digest chain_id = ChainId(parents.empty() ? Digest() : parents.back(), layer.diff_id);
      pins.push_back(store_->CommitLayer(std::move(layer), chain_id, parents, {}).value());
      parents.push_back(chain_id);
    }
    Image image;
    image.config_json =
        base::Cat(R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[)", diff_ids, "]}}");
    image.repo_tags = {"docker.io/library/a:1"};
    return store_->PutImage(image).value();
  }
  std::vector<base::Path> Copies(const ImagePtr& image, const std::string& user, const kernel::UserMap& map = kMap) {
    auto lower = ShiftedLowerDirs(*store_, *image, map, user, {});
    EXPECT_TRUE(lower) << lower.error().Text();
    return lower.value_or(std::vector<base::Path>());
  }
  size_t CopiesOnDisk() const { return base::ListFolder(StoreFolder() / "shifted").value().size(); }
  size_t Temporaries() const { return base::ListFolder(StoreFolder() / "tmp").value().size(); }
  static struct stat Stat(const base::Path& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info;
  }

  TempFolder temp_;
  std::unique_ptr<Store> store_;
};

std::vector<TarItem> Everything() {
  TarItem file = File("d/f", "content");
  file.mode = 06755, file.uid = 7, file.gid = 8, file.mtime = 123;
  file.pax = {{"SCHILY.xattr.user.note", "kept"},
              {"SCHILY.xattr.security.capability", Capability(VFS_CAP_REVISION_2, 20)}};
  TarItem link = Symlink("d/s", "nowhere");
  link.uid = 9;
  TarItem far = File("far", "x");
  far.uid = 100'000, far.gid = 3;
  return {{.name = "./", .type = '5', .mode = 0711, .uid = 1, .mtime = 5},
          {.name = "d", .type = '5', .mode = 01777, .uid = 2, .mtime = 77},
          file,
          HardLink("d/h", "d/f"),
          link,
          far,
          {.name = "d/p", .type = '6', .mode = 0600, .uid = 4},
          File(".wh.gone"),
          Folder("o"),
          File("o/.wh..wh..opq"),
          File("o/in", "y")};
}

TEST_F(ShiftTest, WithEveryIdAsItIsACopyIsTheSame) {
  const ImagePtr image = Put({Everything()});
  const base::Path layer = *store_->LayerFolder(image->chain_ids[0]);
  const auto copied = CopyShifted(layer, temp_.path() / "copy", kSame, {});
  ASSERT_TRUE(copied) << copied.error().Text();
  EXPECT_EQ(Describe(temp_.path() / "copy"), Describe(layer));
  EXPECT_EQ(copied->inodes, store_->Usage().inodes);
}

TEST_F(ShiftTest, OwnersAndCapabilitiesAreTheHostsAndModesStay) {
  const ImagePtr image = Put({Everything()});
  const base::Path copy = Copies(image, "c").at(0);
  EXPECT_EQ(Stat(copy).st_uid, 1'000'001u);
  EXPECT_EQ(Stat(copy).st_mtim.tv_sec, 5);
  EXPECT_EQ(Stat(copy / "d").st_mtim.tv_sec, 77);
  EXPECT_EQ(Stat(copy / "d").st_mode & 07777, 01777u);
  const struct stat file = Stat(copy / "d/f");
  EXPECT_EQ(file.st_uid, 1'000'007u);
  EXPECT_EQ(file.st_gid, 2'000'008u);
  EXPECT_EQ(file.st_mode & 07777, 06755u);
  EXPECT_EQ(file.st_mtim.tv_sec, 123);
  EXPECT_EQ(file.st_ino, Stat(copy / "d/h").st_ino);
  EXPECT_EQ(file.st_nlink, 2u);
  EXPECT_EQ(Stat(copy / "d/s").st_uid, 1'000'009u);
  EXPECT_TRUE(S_ISFIFO(Stat(copy / "d/p").st_mode));
  EXPECT_EQ(Stat(copy / "far").st_uid, 65534u);
  EXPECT_EQ(Stat(copy / "far").st_gid, 2'000'003u);
  EXPECT_TRUE(S_ISCHR(Stat(copy / "gone").st_mode));
  EXPECT_EQ(Stat(copy / "gone").st_rdev, makedev(0, 0));
  EXPECT_TRUE(IsOpaque((copy / "o").native()));
  std::array<char, 64> value{};
  const ssize_t size = lgetxattr((copy / "d/f").c_str(), "security.capability", value.data(), value.size());
  EXPECT_EQ(std::string(value.data(), static_cast<size_t>(std::max<ssize_t>(size, 0))),
            Capability(VFS_CAP_REVISION_3, 24, 1'000'000));
}

TEST_F(ShiftTest, HolesStayHoles) {
  const base::Path from = temp_.path() / "from";
  ASSERT_TRUE(base::MakeDirs(from));
  {
    const base::UniqueFd fd(open((from / "sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(ftruncate(fd.get(), 256 << 20), 0);
    ASSERT_EQ(pwrite(fd.get(), "middle", 6, 100 << 20), 6);
  }
  ASSERT_TRUE(CopyShifted(from, temp_.path() / "to", kMap, {}));
  EXPECT_EQ(Stat(temp_.path() / "to/sparse").st_size, 256 << 20);
  EXPECT_LT(Stat(temp_.path() / "to/sparse").st_blocks, 1024);
  std::array<char, 6> bytes{};
  const base::UniqueFd fd(open((temp_.path() / "to/sparse").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(pread(fd.get(), bytes.data(), 6, 100 << 20), 6);
  EXPECT_EQ(std::string(bytes.data(), 6), "middle");
}

TEST_F(ShiftTest, CopiesAreMadeOnceCountedAndRemovedWithTheirLastUser) {
  const ImagePtr image = Put({{File("a", "1")}, {File("b", "2")}});
  const StoreUsage before = store_->Usage();
  const auto first = Copies(image, "one");
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_EQ(Copies(image, "two"), first);
  EXPECT_EQ(CopiesOnDisk(), 2u);
  EXPECT_EQ(store_->Usage().inodes, 2 * before.inodes);
  EXPECT_EQ(store_->Usage().bytes, 2 * before.bytes);
  const auto other =
      Copies(image, "three", {.uids = {.host = 5'000'000, .size = 65536}, .gids = {.host = 5'000'000, .size = 65536}});
  EXPECT_EQ(CopiesOnDisk(), 4u);
  store_->Unref("three");
  EXPECT_FALSE(base::Exists(other.at(0)));
  store_->Unref("one");
  EXPECT_TRUE(base::Exists(first.at(0)));
  store_->Unref("two");
  EXPECT_EQ(CopiesOnDisk(), 0u);
  EXPECT_EQ(Temporaries(), 0u);
  EXPECT_EQ(store_->Usage().bytes, before.bytes);
}

TEST_F(ShiftTest, CopiesOutliveARestartForThoseWhoUseThem) {
  const ImagePtr image = Put({{File("a", "1")}});
  const base::Path copy = Copies(image, "one").at(0);
  Reopen();
  EXPECT_THAT(store_->problems(), IsEmpty());
  store_->shifted().Ref("one", image->chain_ids, OwnersText(kMap));
  store_->Collect();
  EXPECT_TRUE(base::Exists(copy / "a"));
  store_->Unref("one");
  EXPECT_EQ(CopiesOnDisk(), 0u);
  (void)Copies(image, "one");
  Reopen();
  store_->Collect();
  EXPECT_EQ(CopiesOnDisk(), 0u);
}

TEST_F(ShiftTest, BrokenCopiesAreRemovedAtTheStartAndMadeAgain) {
  const ImagePtr image = Put({{File("a", "1")}});
  const base::Path copy = Copies(image, "one").at(0);
  ASSERT_TRUE(base::WriteFile(copy.parent_path() / "layer.json", "torn"));
  Reopen();
  EXPECT_THAT(store_->problems(), SizeIs(1));
  EXPECT_EQ(CopiesOnDisk(), 0u);
  EXPECT_EQ(base::ReadFile(Copies(image, "one").at(0) / "a").value_or(""), "1");
}

TEST_F(ShiftTest, ACancelledCopyLeavesNothing) {
  const ImagePtr image = Put({{File("a", "1")}});
  const auto context = base::Context::Make();
  context.Cancel();
  EXPECT_EQ(ShiftedLowerDirs(*store_, *image, kMap, "one", context).error().code, base::Code::kCancelled);
  EXPECT_EQ(CopiesOnDisk(), 0u);
  EXPECT_EQ(Temporaries(), 0u);
}

TEST_F(ShiftTest, CheckLooksAtCopiesToo) {
  const ImagePtr image = Put({{File("a", "first")}});
  const base::Path copy = Copies(image, "one").at(0);
  EXPECT_THAT(CheckStore(*store_, {.contents = true}, {})->problems, IsEmpty());
  ASSERT_TRUE(base::WriteFile(copy / "a", "other"));
  const auto report = CheckStore(*store_, {.contents = true, .repair = true}, {});
  ASSERT_THAT(report->problems, SizeIs(1));
  EXPECT_THAT(report->problems[0].what, HasSubstr("the contents have changed"));
  EXPECT_THAT(report->removed, IsEmpty());
  EXPECT_THAT(CheckStore(*store_, {.contents = true}, {})->problems, IsEmpty());
  // Made again for the next, while the first keeps what it has mounted.
  EXPECT_EQ(base::ReadFile(Copies(image, "two").at(0) / "a").value_or(""), "first");
  const base::Path retired = StoreFolder() / "retired/shifted";
  EXPECT_THAT(*base::ListFolder(retired), SizeIs(1));
  store_->Unref("one");
  EXPECT_THAT(*base::ListFolder(retired), IsEmpty());
  EXPECT_EQ(CopiesOnDisk(), 1u);
  store_->Unref("two");
  EXPECT_EQ(CopiesOnDisk(), 0u);
}

// Names beyond what a tar header has room for.
TarItem Long(TarItem item) {
  item.pax = {{"path", item.name}};
  item.name = "long";
  if (!item.link.empty()) item.pax.emplace_back("linkpath", std::exchange(item.link, "long"));
  return item;
}

// The archive chooses the depth, and the daemon's threads have small stacks.
TEST_F(ShiftTest, FoldersThatAreVeryDeepAreCopiedCheckedMergedAndRemoved) {
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += "a/";
  const auto work = [&] {
    const ImagePtr image = Put({{Symlink("s", "t"), Long(File("t/" + deep + "below", "1"))},
                                {Long(File("s/" + deep + "f", "2")), Long(File("t/" + deep + "g", "3")),
                                 Long(HardLink("l", "t/" + deep + "below"))}});
    EXPECT_TRUE(base::Exists(*store_->LayerFolder(image->chain_ids[1]) / ("t/" + deep + "f")));
    EXPECT_THAT(Copies(image, "one"), SizeIs(2));
    EXPECT_THAT(CheckStore(*store_, {.contents = true}, {})->problems, IsEmpty());
    store_->Unref("one");
    EXPECT_TRUE(store_->Remove("a:1"));
  };
  {
    base::Executor thread({.name = "small", .threads = 1, .queue = 10, .stack_bytes = 256 << 10});
    ASSERT_TRUE(thread.Submit(work));
  }
  EXPECT_EQ(CopiesOnDisk(), 0u);
  EXPECT_EQ(Temporaries(), 0u);
}

}  // namespace
}  // namespace berth::image
