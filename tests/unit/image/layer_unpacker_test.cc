#include "image/layer_unpacker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <string>
#include <vector>

#include "image/layer_xattr.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class LayerUnpackerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted attributes need root";
    const base::Path probe = temp_.path() / "probe";
    ASSERT_TRUE(base::MakeDirs(probe));
    if (!SetOpaque(probe.native())) GTEST_SKIP() << "the temporary folder's file system takes no trusted attributes";
    ASSERT_TRUE(base::MakeDirs(temp_.path() / "outside"));
    ASSERT_TRUE(base::WriteFile(temp_.path() / "outside/canary", "alive"));
    canary_ = Describe(temp_.path() / "outside");
  }
  void TearDown() override {
    if (canary_.empty()) return;
    EXPECT_EQ(Describe(temp_.path() / "outside"), canary_) << "something outside the layer was touched";
  }

  base::Result<UnpackedLayer> Unpack(std::string_view blob, size_t piece = 1 << 20, LayerLimits limits = {}) {
    const base::Path folder = temp_.path() / base::Cat("layer", ++count_);
    RETURN_IF_ERROR(base::MakeDirs(folder));
    ASSIGN_OR_RETURN(auto unpacker, LayerUnpacker::Create(StagedFolder(folder), limits));
    for (size_t at = 0; at < blob.size(); at += piece) (void)unpacker->Write(Bytes(blob.substr(at, piece)));
    return unpacker->Finish({});
  }
  base::Result<UnpackedLayer> Unpack(const std::vector<TarItem>& items) { return Unpack(Tar(items)); }

  static base::Path Diff(const base::Result<UnpackedLayer>& layer) { return layer.value().folder.path() / "diff"; }
  static std::string Read(const base::Result<UnpackedLayer>& layer, const std::string& name) {
    return base::ReadFile(Diff(layer) / name).value_or("(none)");
  }
  static struct stat Stat(const base::Result<UnpackedLayer>& layer, const std::string& name) {
    struct stat info {};
    EXPECT_EQ(lstat((Diff(layer) / name).c_str(), &info), 0) << name;
    return info;
  }
  static bool IsWhiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0); }
  static bool Opaque(const base::Result<UnpackedLayer>& layer, const std::string& name) {
    return IsOpaque((Diff(layer) / name).native());
  }

  std::string Outside() const { return (temp_.path() / "outside").native(); }

  TempFolder temp_;
  std::map<std::string, std::string> canary_;
  int count_ = 0;
};

TEST_F(LayerUnpackerTest, EntriesGetOwnerModeTimesAndContent) {
  TarItem file = File("d/f", "text");
  file.mode = 04751, file.uid = 1234, file.gid = 5678, file.mtime = -5;
  const auto layer = Unpack({Folder("d", 01777),
                             file,
                             Symlink("d/s", "f"),
                             HardLink("d/h", "d/f"),
                             {.name = "d/p", .type = '6', .mode = 0600}});
  ASSERT_TRUE(layer) << layer.error().Text();
  const auto info = Stat(layer, "d/f");
  EXPECT_EQ(info.st_mode, mode_t{S_IFREG | 04751});
  EXPECT_EQ(info.st_uid, 1234u);
  EXPECT_EQ(info.st_gid, 5678u);
  EXPECT_EQ(info.st_mtim.tv_sec, -5);
  EXPECT_EQ(info.st_nlink, 2u);
  EXPECT_EQ(Read(layer, "d/h"), "text");
  EXPECT_EQ(Stat(layer, "d").st_mode, mode_t{S_IFDIR | 01777});
  EXPECT_EQ(Stat(layer, "d").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_TRUE(S_ISFIFO(Stat(layer, "d/p").st_mode));
  EXPECT_EQ(Stat(layer, "d/s").st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(LayerUnpackerTest, DiffIdIsTheHashOfAllTarBytes) {
  const std::string tar = Tar({File("a", Noise(3'000'000))}) + "trailing";
  const auto expected = Sha256::Of(tar);
  EXPECT_EQ(Unpack(tar).value().diff_id, expected);
  EXPECT_EQ(Unpack(Gzip(tar), 1000).value().diff_id, expected);
  EXPECT_EQ(Unpack(Zstd(tar), 77'777).value().diff_id, expected);
}

TEST_F(LayerUnpackerTest, CompressionAndPieceSizeDoNotChangeTheResult) {
  std::vector<TarItem> items{Folder("d")};
  for (int i = 0; i < 300; ++i)
    items.push_back(
        File(base::Cat("d/", i % 7, "/f", i), Noise(static_cast<size_t>(i) * 97, static_cast<uint32_t>(i))));
  const std::string tar = Tar(items);
  const auto expected = Describe(Diff(Unpack(tar)));
  const auto a = Unpack(Gzip(tar), 333);
  EXPECT_TRUE(Describe(Diff(a)) == expected);
  const auto b = Unpack(Zstd(tar));
  EXPECT_TRUE(Describe(Diff(b)) == expected);
}

TEST_F(LayerUnpackerTest, FolderTimesSurviveWhatIsMadeInThemLater) {
  const auto layer = Unpack(
      {Folder("./"), Folder("a"), Folder("a/b"), File("a/b/1"), File("top"), File("a/2"), Folder("c"), File("a/b/3")});
  for (const char* name : {"", "a", "a/b", "c"}) EXPECT_EQ(Stat(layer, name).st_mtim.tv_sec, 1'000'000'000) << name;
}

TEST_F(LayerUnpackerTest, NamesThatClimbOutAreRefused) {
  for (const char* name : {"../x", "/../x", "a/../../x", "..", "./../outside/canary"}) {
    EXPECT_EQ(Unpack({File(name)}).error().code, base::Code::kInvalidArgument) << name;
    EXPECT_FALSE(Unpack({HardLink("l", name)})) << name;
  }
}

TEST_F(LayerUnpackerTest, AbsoluteAndUncleanNamesStayInside) {
  const auto layer = Unpack({File(Outside() + "/canary", "dead"), File("a/./b/../c//d", "d")});
  ASSERT_TRUE(layer);
  EXPECT_EQ(Read(layer, Outside().substr(1) + "/canary"), "dead");
  EXPECT_EQ(Read(layer, "a/c/d"), "d");
}

TEST_F(LayerUnpackerTest, SymlinkedParentsAreFollowedInsideAlone) {
  const auto layer =
      Unpack({Symlink("abs", Outside()), File("abs/canary", "dead"), Symlink("up", "../../../../../.." + Outside()),
              File("up/other", "dead"), Folder("real"), Symlink("rel", "./real"), File("rel/f", "in")});
  ASSERT_TRUE(layer) << layer.error().Text();
  EXPECT_EQ(Read(layer, Outside().substr(1) + "/canary"), "dead");
  EXPECT_EQ(Read(layer, "real/f"), "in");
  EXPECT_TRUE(S_ISLNK(Stat(layer, "rel").st_mode));
}

TEST_F(LayerUnpackerTest, LinksInCirclesAndFilesAsFoldersAreRefused) {
  EXPECT_FALSE(Unpack({Symlink("a", "b"), Symlink("b", "a"), File("a/f")}));
  EXPECT_FALSE(Unpack({File("a"), File("a/f")}));
}

TEST_F(LayerUnpackerTest, NothingIsWrittenThroughASymlink) {
  const auto layer =
      Unpack({Symlink("f", Outside() + "/canary"), File("f", "own"), Symlink("d", Outside()), Folder("d", 0700)});
  ASSERT_TRUE(layer);
  EXPECT_TRUE(S_ISREG(Stat(layer, "f").st_mode));
  EXPECT_TRUE(S_ISDIR(Stat(layer, "d").st_mode));
}

TEST_F(LayerUnpackerTest, HardLinkToASymlinkLinksTheLinkItself) {
  const auto layer = Unpack({Symlink("s", Outside() + "/canary"), HardLink("h", "s")});
  ASSERT_TRUE(layer);
  EXPECT_TRUE(S_ISLNK(Stat(layer, "h").st_mode));
  EXPECT_EQ(Stat(layer, "h").st_ino, Stat(layer, "s").st_ino);
}

TEST_F(LayerUnpackerTest, HardLinkThroughALinkedFolderStaysInside) {
  const auto layer = Unpack({Symlink("out", Outside()), HardLink("h", "out/canary")});
  // In the layer there is no such file: the layers below will be asked.
  ASSERT_TRUE(layer);
  EXPECT_EQ(layer->notes.links.at("h").target, "out/canary");
}

TEST_F(LayerUnpackerTest, HardLinksToFoldersThemselvesAndRemovedFilesAreRefused) {
  EXPECT_FALSE(Unpack({Folder("d"), HardLink("h", "d")}));
  EXPECT_FALSE(Unpack({HardLink("h", "h")}));
  EXPECT_FALSE(Unpack({HardLink("h", "/")}));
  EXPECT_FALSE(Unpack({File(".wh.gone"), HardLink("h", "gone")}));
}

TEST_F(LayerUnpackerTest, WhiteoutsBecomeDevices) {
  const auto layer = Unpack({File("d/.wh.gone")});
  ASSERT_TRUE(layer);
  EXPECT_TRUE(IsWhiteout(Stat(layer, "d/gone")));
  EXPECT_FALSE(base::Exists(Diff(layer) / "d/.wh.gone"));
}

TEST_F(LayerUnpackerTest, EntryWinsOverWhiteoutInEitherOrder) {
  for (const auto& items : {std::vector{File("a"), File(".wh.a")}, std::vector{File(".wh.a"), File("a")}}) {
    const auto layer = Unpack(items);
    EXPECT_EQ(Read(layer, "a"), "x");
  }
  for (const auto& items :
       {std::vector{Folder("d"), File(".wh.d"), File("d/f")}, std::vector{File(".wh.d"), Folder("d"), File("d/f")},
        std::vector{File(".wh.d"), File("d/f")}, std::vector{File("d/f"), File(".wh.d")}}) {
    const auto layer = Unpack(items);
    ASSERT_TRUE(layer) << layer.error().Text();
    EXPECT_EQ(Read(layer, "d/f"), "x");
    EXPECT_TRUE(Opaque(layer, "d")) << "the lower folder must stay hidden";
    EXPECT_THAT(layer->notes.implied_folders, testing::Not(Contains("d")));
  }
}

TEST_F(LayerUnpackerTest, OpaqueMarkHoldsWhereverItStands) {
  for (const auto& items : {std::vector{Folder("d"), File("d/f"), File("d/.wh..wh..opq")},
                            std::vector{File("d/.wh..wh..opq"), Folder("d"), File("d/f")},
                            std::vector{Folder("d"), File("d/.wh..wh..opq"), File("d/f")}}) {
    const auto layer = Unpack(items);
    ASSERT_TRUE(layer);
    EXPECT_TRUE(Opaque(layer, "d"));
    EXPECT_EQ(Read(layer, "d/f"), "x");
    EXPECT_FALSE(base::Exists(Diff(layer) / "d/.wh..wh..opq"));
  }
}

TEST_F(LayerUnpackerTest, BadWhiteoutsAreRefusedAndTheirBookkeepingIgnored) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh.", ".wh.a/b"}) EXPECT_FALSE(Unpack({File(name)})) << name;
  const auto layer = Unpack({File(".wh..wh.aufs"), Folder(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "data")});
  ASSERT_TRUE(layer);
  EXPECT_EQ(base::ListFolder(Diff(layer)).value().size(), 0u);
}

TEST_F(LayerUnpackerTest, OverlayAttributesAreDroppedAndOthersKept) {
  TarItem file = File("f");
  const std::string capability("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  file.mode = 04755;
  file.uid = 7;
  file.pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"},
              {"SCHILY.xattr.user.overlay.opaque", "y"},
              {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
              {"SCHILY.xattr.security.capability", capability}};
  TarItem folder = Folder("d");
  folder.pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"}};
  const auto layer = Unpack({file, folder});
  ASSERT_TRUE(layer) << layer.error().Text();
  EXPECT_FALSE(Opaque(layer, "d"));
  const std::string shown = Describe(Diff(layer)).at("f");
  EXPECT_THAT(shown, HasSubstr("security.capability=" + capability));
  EXPECT_THAT(shown, testing::Not(HasSubstr("overlay")));
  EXPECT_EQ(Stat(layer, "f").st_mode & 07777, 04755u);
}

TEST_F(LayerUnpackerTest, TooLargeAttributesAreRefused) {
  TarItem file = File("f");
  file.pax = {{"SCHILY.xattr.user.a", std::string(70'000, 'a')}};
  EXPECT_FALSE(Unpack({file}));
}

TEST_F(LayerUnpackerTest, DevicesAreMadeButNotWhiteoutDevices) {
  const auto layer = Unpack(
      {{.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3}, {.name = "loop", .type = '4', .major = 7}});
  if (!layer && layer.error().err == EPERM) GTEST_SKIP() << "no CAP_MKNOD";
  ASSERT_TRUE(layer) << layer.error().Text();
  EXPECT_EQ(Stat(layer, "null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISBLK(Stat(layer, "loop").st_mode));
  EXPECT_FALSE(Unpack({{.name = "fake", .type = '3'}}));
}

TEST_F(LayerUnpackerTest, LastOfTwoEntriesCounts) {
  const auto layer = Unpack({File("f", "long text"), File("f", "new"), Folder("d"), File("d/x"), File("d", "file now"),
                             File("e"), Folder("e"), File("e/y"), Folder("k"), File("k/kept"), Folder("k", 0700)});
  ASSERT_TRUE(layer) << layer.error().Text();
  EXPECT_EQ(Read(layer, "f"), "new");
  EXPECT_EQ(Read(layer, "d"), "file now");
  EXPECT_EQ(Read(layer, "e/y"), "x");
  EXPECT_TRUE(Opaque(layer, "e")) << "it replaced a file, which hid what is below";
  EXPECT_EQ(Read(layer, "k/kept"), "x");
  EXPECT_EQ(Stat(layer, "k").st_mode & 07777, 0700u);
  EXPECT_FALSE(Opaque(layer, "k"));
}

TEST_F(LayerUnpackerTest, NotesOfReplacedFoldersAreForgotten) {
  const auto layer = Unpack({File("d/e/f"), HardLink("d/l", "below"), File("d-e/f"), File("d", "file")});
  ASSERT_TRUE(layer);
  EXPECT_THAT(layer->notes.implied_folders, UnorderedElementsAre("", "d-e"));
  EXPECT_THAT(layer->notes.links, IsEmpty());
}

TEST_F(LayerUnpackerTest, SparseFilesHaveHolesAndTheirSize) {
  TarItem file = File("s", "AABBB");
  file.pax = {{"GNU.sparse.size", "10485760"}, {"GNU.sparse.map", "0,2,5242880,3"}, {"GNU.sparse.name", "s"}};
  const auto layer = Unpack({file});
  ASSERT_TRUE(layer);
  EXPECT_EQ(Stat(layer, "s").st_size, 10485760);
  EXPECT_LT(Stat(layer, "s").st_blocks * 512, 1 << 20);
  EXPECT_EQ(Read(layer, "s").substr(5242880, 3), "BBB");
}

TEST_F(LayerUnpackerTest, RootMustStayAFolder) {
  EXPECT_FALSE(Unpack({File("./")}));
  EXPECT_FALSE(Unpack({Symlink(".", Outside())}));
  const auto layer = Unpack({Folder("./", 0711)});
  EXPECT_EQ(Stat(layer, "").st_mode & 07777, 0711u);
  EXPECT_THAT(layer->notes.implied_folders, IsEmpty());
}

TEST_F(LayerUnpackerTest, DeepFoldersWork) {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "d/";
  const auto layer = Unpack({WithName(File("x"), name + "f"), WithName(File("x"), name + "g"), File("d/d/top")});
  ASSERT_TRUE(layer) << layer.error().Text();
  EXPECT_EQ(Read(layer, name + "g"), "x");
  for (int i = 0; i < 500; ++i) name += "d/";
  EXPECT_FALSE(Unpack({WithName(File("x"), name + "f")}));
}

TEST_F(LayerUnpackerTest, LimitsEndAnArchiveThatHurts) {
  LayerLimits limits;
  limits.entries = 3;
  EXPECT_EQ(Unpack(Tar({File("1"), File("2"), File("3"), File("4")}), 512, limits).error().code,
            base::Code::kResourceExhausted);
  EXPECT_EQ(Unpack(Tar({File("a/b/c/d/e")}), 512, limits).error().code, base::Code::kResourceExhausted);
  limits = {};
  limits.file_bytes = 1000;
  EXPECT_EQ(Unpack(Gzip(Tar({File("big", std::string(5000, 'a'))})), 512, limits).error().code,
            base::Code::kResourceExhausted);
  limits = {};
  limits.note_bytes = 200;
  EXPECT_EQ(
      Unpack(Tar({HardLink("a", "b1"), HardLink("b", "b2"), HardLink("c", "b3"), HardLink("d", "b4")}), 512, limits)
          .error()
          .code,
      base::Code::kResourceExhausted);
}

TEST_F(LayerUnpackerTest, LongComponentsAndNamesAreRefused) {
  EXPECT_FALSE(Unpack({WithName(File("x"), std::string(256, 'a'))}));
  std::string name;
  for (int i = 0; i < 30; ++i) name += std::string(200, 'a') + "/";
  EXPECT_FALSE(Unpack({WithName(File("x"), name)}));
}

TEST_F(LayerUnpackerTest, EveryTruncationAtABlockIsAnErrorOrAnEnd) {
  const std::string tar =
      Tar({Folder("d"), File("d/a", Noise(1500)), Symlink("s", "a"), WithName(File("x", Noise(700)), "d/long")});
  const auto whole = Unpack(tar);
  for (size_t size = 512; size < tar.size(); size += 512) {
    const auto cut = Unpack(tar.substr(0, size), 700);
    if (cut) {
      EXPECT_NE(cut->diff_id, whole->diff_id) << size;
    }
  }
}

TEST_F(LayerUnpackerTest, FailedAndAbandonedLayersLeaveNothing) {
  const base::Path folder = temp_.path() / "abandoned";
  ASSERT_TRUE(base::MakeDirs(folder));
  {
    auto unpacker = LayerUnpacker::Create(StagedFolder(folder), {}).value();
    ASSERT_TRUE(unpacker->Write(Bytes(Tar({File("a", Noise(4 << 20))}))));
  }
  EXPECT_FALSE(base::Exists(folder));
  ASSERT_TRUE(base::MakeDirs(folder));
  {
    auto unpacker = LayerUnpacker::Create(StagedFolder(folder), {}).value();
    (void)unpacker->Write(Bytes(Tar({{.name = "z", .type = 'Z'}})));
    EXPECT_FALSE(unpacker->Finish({}));
  }
  EXPECT_FALSE(base::Exists(folder));
}

TEST_F(LayerUnpackerTest, FailureOnTheWorkersSideEndsTheWriting) {
  const base::Path folder = temp_.path() / "early";
  ASSERT_TRUE(base::MakeDirs(folder));
  auto unpacker = LayerUnpacker::Create(StagedFolder(folder), {}).value();
  const std::string bad = Tar({{.name = "z", .type = 'Z'}}) + std::string(16 << 20, 'x');
  EXPECT_FALSE(unpacker->Write(Bytes(bad)));
  EXPECT_THAT(unpacker->Finish({}).error().message, HasSubstr("unknown type"));
}

}  // namespace
}  // namespace berth::image
