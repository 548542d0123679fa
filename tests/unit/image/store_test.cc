#include "image/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <string>
#include <thread>
#include <vector>

#include "image/layer_xattr.h"
#include "image/rootfs.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners and trusted attributes need root";
    if (!SetOpaque(temp_.path().native()))
      GTEST_SKIP() << "the temporary folder's file system takes no trusted attributes";
    Reopen();
    store_->Collect();
  }

  base::Path StoreFolder() const { return temp_.path() / "images"; }
  void Reopen(std::vector<std::string> pinned = {}) {
    store_.reset();
    auto store = Store::Open({.folder = StoreFolder(), .pinned = std::move(pinned)});
    ASSERT_TRUE(store) << store.error().Text();
    store_ = *std::move(store);
  }

  base::Result<UnpackedLayer> Unpack(const std::vector<TarItem>& items) const {
    ASSIGN_OR_RETURN(auto unpacker, store_->BeginLayer());
    RETURN_IF_ERROR(unpacker->Write(Bytes(Gzip(Tar(items)))));
    return unpacker->Finish({});
  }
  struct Built {
    Image image;
    std::vector<LayerPin> pins;
  };
  // Unpacks and commits the layers, lowest first; the image is not put yet.
  base::Result<Built> Build(const std::vector<std::vector<TarItem>>& layers,
                            const std::string& tag = "docker.io/library/a:1", const std::string& note = "") {
    Built built;
    std::vector<Digest> parents;
    std::string diff_ids;
    for (const auto& items : layers) {
      ASSIGN_OR_RETURN(UnpackedLayer layer, Unpack(items));
      diff_ids += base::Cat(diff_ids.empty() ? "" : ",", '"', layer.diff_id.str(), '"');
      const Digest chain_id = ChainId(parents.empty() ? Digest() : parents.back(), layer.diff_id);
      ASSIGN_OR_RETURN(LayerPin pin, store_->CommitLayer(std::move(layer), chain_id, parents, {}));
      built.pins.push_back(std::move(pin));
      parents.push_back(chain_id);
    }
    built.image.config_json =
        base::Cat(R"({"architecture":"amd64","os":"linux","author":")", note,
                  R"(","config":{"User":"7"},"rootfs":{"type":"layers","diff_ids":[)", diff_ids, "]}}");
    built.image.manifest_digest = Sha256::Of(built.image.config_json + "m");
    if (!tag.empty()) built.image.repo_tags = {tag};
    built.image.repo_digests = {"docker.io/library/a@" + built.image.manifest_digest.str()};
    built.image.size = 10;
    return built;
  }
  ImagePtr Put(const std::vector<std::vector<TarItem>>& layers, const std::string& tag = "docker.io/library/a:1",
               const std::string& note = "") {
    auto built = Build(layers, tag, note);
    EXPECT_TRUE(built) << built.error().Text();
    auto image = store_->PutImage(std::move(built->image));
    EXPECT_TRUE(image) << image.error().Text();
    return *image;
  }
  base::Path Diff(const ImagePtr& image, size_t layer) const {
    return store_->LayerFolder(image->chain_ids.at(layer)).value();
  }
  size_t LayersOnDisk() const { return base::ListFolder(StoreFolder() / "layers").value().size(); }
  size_t Temporaries() const { return base::ListFolder(StoreFolder() / "tmp").value().size(); }

  TempFolder temp_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ImageIsFoundByEveryFormOfItsName) {
  const ImagePtr image = Put({{File("f")}});
  const std::string hex = image->id.substr(7);
  for (const std::string& text :
       {image->id, hex, hex.substr(0, 3), std::string("a:1"), std::string("docker.io/library/a:1"),
        image->repo_digests[0], "a@" + image->manifest_digest.str(), "a:9@" + image->manifest_digest.str()}) {
    const auto found = store_->Find(text);
    ASSERT_TRUE(found) << text;
    EXPECT_EQ(*found, image) << text;
  }
  for (const char* text : {"b:1", "a", "a:2", "", "sha256:", "///", "ffffffffffff"})
    EXPECT_EQ(store_->Find(text).value(), nullptr) << text;
  EXPECT_EQ(image->config.user, "7");
}

TEST_F(StoreTest, AmbiguousPrefixIsInvalid) {
  // Among 17^2*16 images two share three digits for certain; a few hundred are enough in practice.
  std::map<std::string, int> seen;
  std::string shared;
  for (int i = 0; i < 400 && shared.empty(); ++i) {
    const ImagePtr image = Put({{File("f")}}, "", std::to_string(i));
    if (++seen[image->id.substr(7, 3)] == 2) shared = image->id.substr(7, 3);
  }
  ASSERT_FALSE(shared.empty());
  EXPECT_EQ(store_->Find(shared).error().code, base::Code::kInvalidArgument);
}

TEST_F(StoreTest, TagsOfOneImageAreMergedAndAMovedTagLeavesTheOld) {
  const ImagePtr first = Put({{File("f")}}, "docker.io/library/a:1");
  const ImagePtr same = Put({{File("f")}}, "docker.io/library/a:2");
  EXPECT_EQ(same->id, first->id);
  EXPECT_THAT(same->repo_tags, ElementsAre("docker.io/library/a:1", "docker.io/library/a:2"));
  const ImagePtr other = Put({{File("g")}}, "docker.io/library/a:2");
  EXPECT_EQ(store_->Find("a:2").value(), other);
  EXPECT_THAT(store_->Find(first->id).value()->repo_tags, ElementsAre("docker.io/library/a:1"));
  EXPECT_EQ(store_->List()->size(), 2u);
  Reopen();
  EXPECT_EQ(store_->Find("a:2").value()->id, other->id);
  EXPECT_THAT(store_->Find(first->id).value()->repo_tags, ElementsAre("docker.io/library/a:1"));
}

TEST_F(StoreTest, RemovingTakesTheImageWithItsLayersAndIsIdempotent) {
  const ImagePtr image = Put({{File("f")}, {File("g")}});
  const auto before = store_->Usage();
  EXPECT_GT(before.bytes, 0u);
  EXPECT_GT(before.inodes, 2u);
  ASSERT_TRUE(store_->Remove("a:1"));
  EXPECT_EQ(store_->Find(image->id).value(), nullptr);
  EXPECT_EQ(LayersOnDisk(), 0u);
  EXPECT_EQ(Temporaries(), 0u);
  EXPECT_EQ(store_->Usage().bytes, 0u);
  EXPECT_EQ(store_->Usage().inodes, 0u);
  EXPECT_TRUE(store_->Remove("a:1"));
}

TEST_F(StoreTest, SharedLayersStayWithTheOtherImage) {
  const ImagePtr one = Put({{File("base")}, {File("one")}}, "docker.io/library/a:1");
  const ImagePtr two = Put({{File("base")}, {File("two")}}, "docker.io/library/a:2");
  EXPECT_EQ(LayersOnDisk(), 3u);
  ASSERT_TRUE(store_->Remove(one->id));
  EXPECT_EQ(LayersOnDisk(), 2u);
  EXPECT_TRUE(LowerDirs(*store_, *two));
}

TEST_F(StoreTest, ContainerKeepsTheLayersOfARemovedImage) {
  const ImagePtr image = Put({{File("f")}});
  ASSERT_TRUE(store_->RefImage("a:1", "container"));
  ASSERT_TRUE(store_->Remove("a:1"));
  EXPECT_TRUE(LowerDirs(*store_, *image));
  store_->Unref("container");
  EXPECT_EQ(LayersOnDisk(), 0u);
  store_->Unref("container");
  EXPECT_EQ(store_->RefImage("a:1", "container").error().code, base::Code::kNotFound);
}

TEST_F(StoreTest, ContainerKeepsItsLayersOverARestart) {
  const ImagePtr image = Put({{File("f")}, {File("g")}});
  ASSERT_TRUE(store_->RefImage("a:1", "container"));
  ASSERT_TRUE(store_->Remove("a:1"));
  Reopen();
  store_->RefLayers("container", image->chain_ids);
  store_->Collect();
  EXPECT_TRUE(LowerDirs(*store_, *image));
  store_->Unref("container");
  EXPECT_EQ(LayersOnDisk(), 0u);
}

TEST_F(StoreTest, NothingIsCollectedBeforeContainersHaveSpoken) {
  (void)Put({{File("f")}});
  Reopen();
  ASSERT_TRUE(store_->Remove("a:1"));
  EXPECT_EQ(LayersOnDisk(), 1u);
  store_->Collect();
  EXPECT_EQ(LayersOnDisk(), 0u);
}

TEST_F(StoreTest, PinKeepsALayerUntilItsImageIsPut) {
  auto built = Build({{File("f")}});
  ASSERT_TRUE(built);
  store_->Collect();
  EXPECT_EQ(LayersOnDisk(), 1u);
  ASSERT_TRUE(store_->PutImage(built->image));
  built->pins.clear();
  EXPECT_EQ(LayersOnDisk(), 1u);
}

TEST_F(StoreTest, LayersOfAnAbandonedPullGoWithTheirPins) {
  auto built = Build({{File("f")}});
  ASSERT_TRUE(built);
  built->pins.clear();
  EXPECT_EQ(LayersOnDisk(), 0u);
  EXPECT_EQ(store_->PutImage(built->image).error().code, base::Code::kFailedPrecondition);
}

TEST_F(StoreTest, CommittingAPresentLayerSucceeds) {
  const ImagePtr one = Put({{File("f")}});
  auto again = store_->CommitLayer(Unpack({File("f")}).value(), one->chain_ids[0], {}, {});
  ASSERT_TRUE(again);
  EXPECT_EQ(LayersOnDisk(), 1u);
}

TEST_F(StoreTest, MissingParentFailsTheCommit) {
  const Digest nowhere = Sha256::Of("nowhere");
  const auto pin = store_->CommitLayer(Unpack({File("f")}).value(), Sha256::Of("chain"), std::span(&nowhere, 1), {});
  EXPECT_EQ(pin.error().code, base::Code::kFailedPrecondition);
  EXPECT_EQ(Temporaries(), 0u);
}

TEST_F(StoreTest, ImpliedFoldersInheritFromBelow) {
  TarItem etc{.name = "etc", .type = '5', .mode = 0711, .uid = 5, .mtime = 77};
  etc.pax = {{"SCHILY.xattr.user.note", "kept"}};
  const ImagePtr image = Put({{{.name = "./", .type = '5', .mode = 0750}, etc}, {File("etc/new"), File("other/x")}});
  struct stat info {};
  ASSERT_EQ(lstat((Diff(image, 1) / "etc").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0711u);
  EXPECT_EQ(info.st_uid, 5u);
  EXPECT_EQ(info.st_mtim.tv_sec, 77);
  EXPECT_THAT(Describe(Diff(image, 1)).at("etc"), HasSubstr("user.note=kept"));
  ASSERT_EQ(lstat(Diff(image, 1).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750u);
  ASSERT_EQ(lstat((Diff(image, 1) / "other").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST_F(StoreTest, FolderThatIsALinkBelowKeepsTheLink) {
  const ImagePtr image =
      Put({{{.name = "usr/lib", .type = '5', .mode = 0711, .mtime = 5}, Symlink("lib", "usr/lib"), File("usr/lib/old")},
           {File("lib/sub/new")}});
  EXPECT_FALSE(base::Exists(Diff(image, 1) / "lib"));
  EXPECT_TRUE(base::Exists(Diff(image, 1) / "usr/lib/sub/new"));
  struct stat info {};
  ASSERT_EQ(lstat((Diff(image, 1) / "usr/lib").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0711u);
  EXPECT_EQ(info.st_mtim.tv_sec, 5);
}

TEST_F(StoreTest, HardLinkIntoALowerLayerCopiesTheTargetUp) {
  TarItem target = File("dir/target", "content");
  target.mode = 04711, target.uid = 9, target.mtime = 123;
  const ImagePtr image = Put({{target, Symlink("sym", "x")},
                              {File("between")},
                              {HardLink("link", "dir/target"), HardLink("second", "link"), HardLink("s2", "sym")}});
  struct stat link {};
  struct stat copy {};
  ASSERT_EQ(lstat((Diff(image, 2) / "link").c_str(), &link), 0);
  ASSERT_EQ(lstat((Diff(image, 2) / "dir/target").c_str(), &copy), 0);
  EXPECT_EQ(link.st_ino, copy.st_ino);
  EXPECT_EQ(link.st_nlink, 3u);
  EXPECT_EQ(link.st_mode & 07777, 04711u);
  EXPECT_EQ(link.st_uid, 9u);
  EXPECT_EQ(link.st_mtim.tv_sec, 123);
  EXPECT_EQ(base::ReadFile(Diff(image, 2) / "second").value(), "content");
  EXPECT_EQ(std::filesystem::read_symlink(Diff(image, 2) / "s2"), "x");
}

TEST_F(StoreTest, HardLinkKeepsWhatItsTargetWasWhenTheArchiveReplacesThatLater) {
  const std::vector<TarItem> below{File("f", "old"), File("d/f", "old"), File("g", "other")};
  struct Case {
    const char* name;
    std::vector<TarItem> later;
  };
  const std::vector<Case> cases{
      {"file", {File("f", "new"), File("d/f", "new")}},
      {"node", {Symlink("f", "g"), {.name = "d/f", .type = '6'}}},
      {"folder", {Folder("f"), File("d/f/x")}},
      {"link", {HardLink("f", "g"), HardLink("d/f", "g")}},
      {"whiteout", {File(".wh.f"), File("d/.wh.f")}},
      {"parent", {File("f", "new"), File("d", "new")}},
      {"parent whiteout", {File("f", "new"), File(".wh.d")}},
  };
  for (const Case& one : cases) {
    // The second link is of another name for the first, the third comes after the change.
    std::vector<TarItem> items{HardLink("l1", "f"), HardLink("m1", "d/f"), HardLink("l2", "f"), HardLink("m2", "m1")};
    items.insert(items.end(), one.later.begin(), one.later.end());
    items.push_back(HardLink("m3", "m2"));
    const ImagePtr image = Put({below, items}, "docker.io/library/a:1", one.name);
    for (const char* name : {"l1", "l2", "m1", "m2", "m3"})
      EXPECT_EQ(base::ReadFile(Diff(image, 1) / name).value_or("none"), "old") << one.name << ' ' << name;
    struct stat info {};
    ASSERT_EQ(lstat((Diff(image, 1) / "l1").c_str(), &info), 0);
    EXPECT_EQ(info.st_nlink, 2u) << one.name;
    ASSERT_EQ(lstat((Diff(image, 1) / "m1").c_str(), &info), 0);
    EXPECT_EQ(info.st_nlink, 3u) << one.name;
  }
}

TEST_F(StoreTest, HardLinkThroughALowerLinkIsToTheFileThatTheArchiveHadPutThere) {
  const ImagePtr image =
      Put({{Folder("e"), Symlink("d", "e"), File("e/f", "old")},
           {File("e/f", "new"), HardLink("l", "d/f"), HardLink("back", "l"), HardLink("e/f2", "e/f")}});
  EXPECT_EQ(base::ReadFile(Diff(image, 1) / "l").value_or("none"), "new");
  struct stat info {};
  ASSERT_EQ(lstat((Diff(image, 1) / "back").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 4u);
}

TEST_F(StoreTest, NamesThatAreLinkedBackAndForthStayOneFile) {
  const ImagePtr image = Put({{File("f", "old")}, {HardLink("l", "f"), HardLink("f", "l")}});
  struct stat info {};
  ASSERT_EQ(lstat((Diff(image, 1) / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 2u);
}

TEST_F(StoreTest, HardLinkToWhatIsNowhereOrHiddenIsRefused) {
  EXPECT_FALSE(Build({{HardLink("link", "nowhere")}}));
  EXPECT_FALSE(Build({{File("f")}, {File(".wh.f")}, {HardLink("link", "f")}}));
  EXPECT_FALSE(Build({{File("d/f")}, {Folder("d"), File("d/.wh..wh..opq")}, {HardLink("link", "d/f")}}));
  EXPECT_FALSE(Build({{Folder("d")}, {HardLink("link", "d")}}));
  EXPECT_EQ(Temporaries(), 0u);
}

TEST_F(StoreTest, LinksBelowCannotLeadOutside) {
  ASSERT_TRUE(base::WriteFile(temp_.path() / "canary", "alive"));
  EXPECT_FALSE(Build({{Symlink("out", temp_.path().native())}, {HardLink("link", "out/canary")}}));
  const ImagePtr image = Put({{Symlink("out", temp_.path().native())}, {File("out/canary", "dead")}});
  EXPECT_EQ(base::ReadFile(temp_.path() / "canary").value(), "alive");
  EXPECT_EQ(base::ReadFile(Diff(image, 1) / "out/canary").value(), "dead");
}

TEST_F(StoreTest, LowerDirsAreTopFirstAndEndAtAnOpaqueRoot) {
  const ImagePtr image = Put({{File("a")}, {File("b")}});
  EXPECT_THAT(LowerDirs(*store_, *image).value(), ElementsAre(Diff(image, 1), Diff(image, 0)));
  const ImagePtr fresh = Put({{File("a")}, {File(".wh..wh..opq"), File("c")}}, "docker.io/library/a:2");
  EXPECT_THAT(LowerDirs(*store_, *fresh).value(), ElementsAre(Diff(fresh, 1)));
  const ImagePtr empty = Put({}, "docker.io/library/a:3");
  EXPECT_THAT(LowerDirs(*store_, *empty).value(), ElementsAre(store_->empty_folder()));
}

TEST_F(StoreTest, HundredAndTwentyEightLayersAreOneImage) {
  std::vector<std::vector<TarItem>> layers;
  for (int i = 0; i < 128; ++i) layers.push_back({File("shared", std::to_string(i)), File(base::Cat("own", i), "x")});
  const ImagePtr image = Put(layers);
  ASSERT_TRUE(image);
  const auto lower = LowerDirs(*store_, *image);
  ASSERT_TRUE(lower) << lower.error().Text();
  ASSERT_EQ(lower->size(), 128u);
  EXPECT_EQ(base::ReadFile(lower->front() / "shared").value_or(""), "127");
  EXPECT_TRUE(base::Exists(lower->back() / "own0"));
  Reopen();
  EXPECT_TRUE(store_->problems().empty());
  EXPECT_EQ(store_->Find("a:1").value()->chain_ids.size(), 128u);
  store_->Collect();
  ASSERT_TRUE(store_->Remove("a:1"));
  EXPECT_EQ(LayersOnDisk(), 0u);
}

TEST_F(StoreTest, ParallelUnpackEqualsSerialUnpack) {
  std::vector<std::vector<TarItem>> layers;
  for (uint32_t i = 0; i < 6; ++i) {
    layers.push_back({});
    for (uint32_t k = 0; k < 60; ++k)
      layers.back().push_back(File(base::Cat("d", k % 5, "/e", i % 2, "/f", (k * 7 + i) % 80), Noise(k * 1000, k + i)));
    layers.back().push_back(File(base::Cat("d1/.wh.f", i)));
    if (i > 0) layers.back().push_back(HardLink(base::Cat("link", i), "d0/e0/f0"));
  }
  const ImagePtr serial = Put(layers);
  std::vector<std::map<std::string, std::string>> expected;
  for (size_t i = 0; i < layers.size(); ++i) expected.push_back(Describe(Diff(serial, i)));
  ASSERT_TRUE(store_->Remove(serial->id));

  std::vector<base::Result<UnpackedLayer>> unpacked;
  for (size_t i = 0; i < layers.size(); ++i) unpacked.emplace_back(tl::make_unexpected(base::Error{}));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < layers.size(); ++i) threads.emplace_back([&, i] { unpacked[i] = Unpack(layers[i]); });
  for (std::thread& thread : threads) thread.join();
  std::vector<LayerPin> pins;
  for (size_t i = 0; i < layers.size(); ++i) {
    ASSERT_TRUE(unpacked[i]) << unpacked[i].error().Text();
    auto pin =
        store_->CommitLayer(*std::move(unpacked[i]), serial->chain_ids[i], std::span(serial->chain_ids).first(i), {});
    ASSERT_TRUE(pin) << pin.error().Text();
    pins.push_back(*std::move(pin));
    EXPECT_TRUE(Describe(Diff(serial, i)) == expected[i]) << i;
  }
}

TEST_F(StoreTest, KilledBetweenUnpackAndCommitNothingLooksComplete) {
  const pid_t child = fork();
  if (child == 0) {
    auto layer = Unpack({File("f", Noise(1 << 20))});
    _exit(layer && kill(getpid(), SIGKILL) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Temporaries(), 1u);
  EXPECT_EQ(LayersOnDisk(), 0u);
  Reopen();
  EXPECT_EQ(Temporaries(), 0u);
  EXPECT_THAT(store_->problems(), IsEmpty());
}

TEST_F(StoreTest, GarbledRecordsCostOnlyTheirImages) {
  const ImagePtr kept = Put({{File("base")}, {File("kept")}}, "docker.io/library/a:1");
  const ImagePtr hurt = Put({{File("base")}, {File("hurt")}}, "docker.io/library/a:2");
  const base::Path record = StoreFolder() / "records" / (hurt->id.substr(7) + ".json");
  const std::string text = base::ReadFile(record).value();
  std::string flipped = text;
  flipped[text.find("a:2")] = 'b';
  for (const std::string& bad : {std::string(), text.substr(0, text.size() / 2), std::string(text.size(), '\0'),
                                 flipped, std::string("[]"), std::string("{}")}) {
    ASSERT_TRUE(base::WriteFile(record, bad));
    Reopen();
    ASSERT_EQ(store_->problems().size(), 1u);
    EXPECT_EQ(store_->Find("a:1").value()->id, kept->id);
    EXPECT_EQ(store_->Find("a:2").value(), nullptr);
    EXPECT_TRUE(base::Exists(StoreFolder() / "broken" / record.filename()));
  }
  store_->Collect();
  EXPECT_EQ(LayersOnDisk(), 2u);
}

TEST_F(StoreTest, BrokenLayerCostsOnlyTheImagesThatUseIt) {
  const ImagePtr kept = Put({{File("base")}, {File("kept")}}, "docker.io/library/a:1");
  const ImagePtr hurt = Put({{File("base")}, {File("hurt")}}, "docker.io/library/a:2");
  ASSERT_TRUE(base::WriteFile(Diff(hurt, 1).parent_path() / "layer.json", "torn"));
  Reopen();
  EXPECT_EQ(store_->problems().size(), 2u);
  EXPECT_EQ(store_->Find("a:1").value()->id, kept->id);
  EXPECT_EQ(store_->Find("a:2").value(), nullptr);
  EXPECT_FALSE(store_->HasLayer(hurt->chain_ids[1]));
  const ImagePtr again = Put({{File("base")}, {File("hurt")}}, "docker.io/library/a:2");
  EXPECT_EQ(again->id, hurt->id);
}

TEST_F(StoreTest, LeftoverInALayersPlaceIsReplaced) {
  auto layer = Unpack({File("f")}).value();
  const Digest chain_id = layer.diff_id;
  ASSERT_TRUE(base::MakeDirs(StoreFolder() / "layers" / chain_id.hex() / "junk"));
  auto pin = store_->CommitLayer(std::move(layer), chain_id, {}, {});
  ASSERT_TRUE(pin) << pin.error().Text();
  EXPECT_TRUE(base::Exists(store_->LayerFolder(chain_id).value() / "f"));
  EXPECT_EQ(Temporaries(), 0u);
}

TEST_F(StoreTest, PinnedPatternsMarkImages) {
  (void)Put({{File("f")}});
  EXPECT_FALSE(store_->Find("a:1").value()->pinned);
  for (const char* pattern : {"docker.io/library/a:1", "docker.io/*", "*/a:1", "*library*"}) {
    Reopen({pattern});
    EXPECT_TRUE(store_->Find("a:1").value()->pinned) << pattern;
  }
  Reopen({"a:1", "docker.io/library/b*"});
  EXPECT_FALSE(store_->Find("a:1").value()->pinned);
}

TEST_F(StoreTest, PutRemoveAndListAtOnceAgree) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) {
        auto built = Build({{File("base")}, {File(base::Cat("own", t))}}, base::Cat("docker.io/library/a:", t));
        ASSERT_TRUE(built) << built.error().Text();
        ASSERT_TRUE(store_->PutImage(built->image));
        built->pins.clear();
        ASSERT_TRUE(LowerDirs(*store_, *store_->Find(base::Cat("a:", t)).value()));
        ASSERT_TRUE(store_->Remove(base::Cat("a:", t)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->List()->size(), 0u);
  EXPECT_EQ(LayersOnDisk(), 0u);
  EXPECT_EQ(Temporaries(), 0u);
}

}  // namespace
}  // namespace berth::image
