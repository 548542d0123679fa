// Archives of images: what is taken in from each form, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_registry.h"
#include "image/media_type.h"
#include "image/pull.h"
#include "image/store.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using fake::FakeImage;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = Store::Open({.folder = temp_.path() / "images", .pinned = {}, .limits = {}, .candidates = {}});
    ASSERT_TRUE(store) << store.error().Text();
    store_ = *std::move(store);
    store_->Collect();
    Puller::Options options;
    options.store = store_.get();
    puller_ = std::make_unique<Puller>(options);
  }
  base::Result<std::vector<ImportedImage>> Import(const std::string& archive, const base::Context& context = {}) {
    const base::Path file = temp_.path() / "archive";
    EXPECT_TRUE(base::WriteFile(file, archive));
    return puller_->Import(file, context);
  }
  std::string ErrorOf(const std::string& archive) {
    const auto imported = Import(archive);
    EXPECT_THAT(base::ListFolder(temp_.path() / "images/tmp").value_or(std::vector<std::string>{"?"}), IsEmpty());
    return imported ? "taken in" : imported.error().message;
  }
  // What the top layer has as file "a".
  std::string ContentOf(const std::string& name) {
    const auto image = store_->Find(name);
    if (!image || !*image) return "no image";
    const auto folder = store_->LayerFolder((*image)->chain_ids.back());
    return folder ? base::ReadFile(*folder / "a").value_or("no file") : "no layer";
  }
  TempFolder temp_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Puller> puller_;
};

const FakeImage kImage = fake::MakeImage({fake::Tar({{"a", "lower"}, {"b", "same"}}), fake::Tar({{"a", "upper"}})});
const FakeImage kForeign = fake::MakeImage({fake::Tar({{"a", "foreign"}})}, "s390x");

TarItem Blob(const std::string& bytes) {
  return File("blobs/sha256/" + std::string(Sha256::Of(bytes).hex()), bytes);
}
void AddBlobs(std::vector<TarItem>& items, const FakeImage& image) {
  items.push_back(Blob(image.manifest));
  items.push_back(Blob(image.config));
  for (const std::string& layer : image.layers) items.push_back(Blob(layer));
}
std::string Entry(const FakeImage& image, const std::string& more = {}) {
  return base::Cat(R"({"mediaType":")", kOciManifest, R"(","digest":")", image.manifest_digest.str(), R"(","size":)",
                   image.manifest.size(), more, "}");
}
std::string Named(const std::string& name) {
  return R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + "\"}";
}
// Blobs first, as some tools write them: the index is known last.
std::string OciArchive(const std::string& entries, const std::vector<FakeImage>& images) {
  std::vector<TarItem> items{Folder("blobs"), Folder("blobs/sha256")};
  for (const FakeImage& image : images) AddBlobs(items, image);
  items.push_back(File("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  items.push_back(File("index.json", R"({"schemaVersion":2,"manifests":[)" + entries + "]}"));
  return Tar(items);
}
std::string DockerArchive(const FakeImage& image, const std::string& tags,
                          const std::string& layers = R"("one/layer.tar","two/layer.tar")") {
  return Tar(
      {Folder("one"), File("one/layer.tar", image.tars[0]), Folder("two"), File("real.tar", image.tars[1]),
       Symlink("two/layer.tar", "../real.tar"), File("config.json", image.config),
       File("manifest.json", R"([{"Config":"config.json","RepoTags":[)" + tags + R"(],"Layers":[)" + layers + "]}]")});
}

TEST_F(ArchiveTest, OciLayoutIsTakenInWithItsNames) {
  const auto imported = Import(OciArchive(Entry(kImage, Named("registry.test/team/app:1")), {kImage}));
  ASSERT_TRUE(imported) << imported.error().Text();
  ASSERT_EQ(imported->size(), 1u);
  EXPECT_EQ(imported->front().image_id, kImage.config_digest);
  EXPECT_THAT(imported->front().names, ElementsAre("registry.test/team/app:1"));
  EXPECT_EQ(ContentOf("registry.test/team/app:1"), "upper");
  const auto image = store_->Find("registry.test/team/app@" + kImage.manifest_digest.str());
  ASSERT_TRUE(image && *image);
  EXPECT_THAT((*image)->repo_digests, ElementsAre("registry.test/team/app@" + kImage.manifest_digest.str()));
}

TEST_F(ArchiveTest, CompressedArchivesAreTakenInAndLeaveNothingBehind) {
  const std::string plain = OciArchive(Entry(kImage, Named("registry.test/app:1")), {kImage});
  for (const std::string& packed : {Gzip(plain), Zstd(plain)}) {
    const auto imported = Import(packed);
    ASSERT_TRUE(imported) << imported.error().Text();
    EXPECT_EQ(ContentOf("registry.test/app:1"), "upper");
    ASSERT_TRUE(store_->Remove("registry.test/app:1"));
    EXPECT_THAT(base::ListFolder(temp_.path() / "images/tmp").value_or(std::vector<std::string>{"?"}), IsEmpty());
  }
}

TEST_F(ArchiveTest, DockersFormatIsTakenInThroughItsLinks) {
  const auto imported = Import(DockerArchive(kImage, R"("app:1","registry.test/app:2")"));
  ASSERT_TRUE(imported) << imported.error().Text();
  EXPECT_EQ(imported->front().image_id, kImage.config_digest);
  EXPECT_EQ(ContentOf("app:1"), "upper");
  const auto image = store_->Find("registry.test/app:2");
  ASSERT_TRUE(image && *image);
  EXPECT_THAT((*image)->repo_tags, ElementsAre("docker.io/library/app:1", "registry.test/app:2"));
  EXPECT_THAT((*image)->repo_digests, IsEmpty());
}

TEST_F(ArchiveTest, ImageWithoutANameIsFoundByItsId) {
  for (const std::string& entry : {Entry(kImage), Entry(kImage, Named("latest"))}) {
    const auto imported = Import(OciArchive(entry, {kImage}));
    ASSERT_TRUE(imported) << imported.error().Text();
    EXPECT_THAT(imported->front().names, IsEmpty());
    EXPECT_EQ(ContentOf(kImage.config_digest.str()), "upper");
  }
}

TEST_F(ArchiveTest, OfSeveralPlatformsOnlyThisHostsIsTaken) {
  const auto platform = [](const std::string& architecture) {
    return R"(,"platform":{"os":"linux","architecture":")" + architecture + "\"}";
  };
  const auto imported =
      Import(OciArchive(Entry(kForeign, platform("s390x")) + "," + Entry(kImage, platform(HostPlatform().architecture)),
                        {kForeign, kImage}));
  ASSERT_TRUE(imported) << imported.error().Text();
  ASSERT_EQ(imported->size(), 1u);
  EXPECT_EQ(imported->front().image_id, kImage.config_digest);
}

TEST_F(ArchiveTest, TwoNamesOfOneImageAreOneImageAndTwoImagesAreTwo) {
  const FakeImage other = fake::MakeImage({fake::Tar({{"a", "other"}})});
  const auto imported =
      Import(OciArchive(Entry(kImage, Named("a.test/x:1")) + "," + Entry(kImage, Named("a.test/x:2")) + "," +
                            Entry(other, Named("a.test/y:1")),
                        {kImage, other}));
  ASSERT_TRUE(imported) << imported.error().Text();
  ASSERT_EQ(imported->size(), 2u);
  EXPECT_THAT(imported->front().names, ElementsAre("a.test/x:1", "a.test/x:2"));
  EXPECT_EQ(ContentOf("a.test/y:1"), "other");
}

TEST_F(ArchiveTest, WrongContentIsRefusedAndLeavesNothing) {
  std::vector<TarItem> items;
  AddBlobs(items, kImage);
  items.push_back(File("index.json", R"({"schemaVersion":2,"manifests":[)" + Entry(kImage) + "]}"));
  auto changed = items;
  changed[2].content.back() ^= 1;  // the first layer
  EXPECT_THAT(ErrorOf(Tar(changed)), testing::AnyOf(HasSubstr("its content has digest"), HasSubstr("wrong checksum")));
  changed = items;
  changed[0].content.back() = ' ';
  EXPECT_THAT(ErrorOf(Tar(changed)), HasSubstr("its content has digest"));
  changed = items;
  changed.erase(changed.begin() + 3);
  EXPECT_THAT(ErrorOf(Tar(changed)), HasSubstr("is not in the archive"));
  EXPECT_THAT(ErrorOf(DockerArchive(kImage, "", R"("two/layer.tar","one/layer.tar")")),
              HasSubstr("the configuration says"));
  EXPECT_THAT(ErrorOf(DockerArchive(kImage, "", R"("one/layer.tar")")), HasSubstr("2 layers, manifest.json has 1"));
  EXPECT_THAT(ErrorOf(DockerArchive(kImage, "", R"("one/layer.tar","../../etc/passwd")")),
              HasSubstr("leaves the layer"));
  EXPECT_THAT(ErrorOf(Tar({File("x")})), HasSubstr("neither an OCI image layout nor"));
  EXPECT_THAT(ErrorOf("not an archive at all"), HasSubstr("archive"));
  EXPECT_THAT(ErrorOf(Gzip(OciArchive(Entry(kImage), {kImage})).substr(0, 500)), HasSubstr("ends too early"));
  EXPECT_THAT(ErrorOf(OciArchive(Entry(kForeign), {kForeign})), HasSubstr("no match for platform"));
  EXPECT_TRUE(store_->List()->empty());
}

TEST_F(ArchiveTest, CircleOfLinksEnds) {
  const std::string archive = Tar({Symlink("config.json", "b"), Symlink("b", "config.json"),
                                   File("manifest.json", R"([{"Config":"config.json","RepoTags":[],"Layers":[]}])")});
  EXPECT_THAT(ErrorOf(archive), HasSubstr("is not in the archive"));
}

TEST_F(ArchiveTest, CancelledImportEnds) {
  const base::Context context = base::Context::Make();
  context.Cancel();
  const auto imported = Import(OciArchive(Entry(kImage), {kImage}), context);
  ASSERT_FALSE(imported);
  EXPECT_EQ(imported.error().code, base::Code::kCancelled);
}

}  // namespace
}  // namespace berth::image
