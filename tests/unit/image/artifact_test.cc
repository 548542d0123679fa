#include "image/artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "fake_registry.h"
#include "image/check.h"
#include "image/media_type.h"
#include "image/pull.h"
#include "open_store.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using fake::FakeAnswer;
using fake::FakeRegistry;
using fake::FakeRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Blob {
  std::string title;  // none when empty
  std::string bytes;
};

class ArtifactTest : public testing::Test {
 protected:
  void SetUp() override {
    store_ = OpenStore(temp_.path() / "images");
    ASSERT_TRUE(store_);
    Puller::Options options;
    options.store = store_.get();
    options.registry.first_delay = std::chrono::milliseconds(1);
    puller_ = std::make_unique<Puller>(options);
  }
  // The manifest's digest.
  Digest Push(const std::string& tag, const std::vector<Blob>& blobs) {
    std::string layers;
    for (const Blob& blob : blobs) {
      registry_.AddBlob("model", blob.bytes);
      const std::string title =
          blob.title.empty() ? ""
                             : base::Cat(R"(,"annotations":{"org.opencontainers.image.title":")", blob.title, "\"}");
      layers += base::Cat(layers.empty() ? "" : ",", R"({"mediaType":"application/x-weights","digest":")",
                          Sha256::Of(blob.bytes).str(), R"(","size":)", blob.bytes.size(), title, "}");
    }
    const std::string body =
        base::Cat(R"({"schemaVersion":2,"mediaType":")", kOciManifest, R"(","artifactType":"application/x-model",)",
                  R"("config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":")", Sha256::Of("{}").str(),
                  R"(","size":2},"layers":[)", layers, "]}");
    return registry_.AddManifest("model", tag, body, std::string(kOciManifest));
  }
  std::string Name(const std::string& tag) const { return registry_.host() + "/model:" + tag; }
  base::Result<PullResult> Pull(const std::string& tag) { return puller_->Pull(*Reference::Parse(Name(tag)), {}, {}); }
  std::string ErrorOf(const std::string& tag) {
    const auto pulled = Pull(tag);
    return pulled ? "pulled" : pulled.error().message;
  }
  base::Path Files(const std::string& tag) {
    const ImagePtr image = *store_->Find(Name(tag));
    return *store_->LayerFolder(image->chain_ids.at(0));
  }

  TempFolder temp_;
  FakeRegistry registry_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Puller> puller_;
};

TEST_F(ArtifactTest, EachBlobIsAFileUnderItsTitleOrDigest) {
  const std::string large = Noise(700'001);
  const std::string deep = "a/" + std::string(200, 'd') + "/weights.bin";
  Push("1", {{"model.bin", large}, {deep, "deep"}, {"", "nameless"}, {"empty", ""}});
  const auto pulled = Pull("1");
  ASSERT_TRUE(pulled) << pulled.error().Text();
  const base::Path files = Files("1");
  EXPECT_EQ(base::ReadFile(files / "model.bin").value(), large);
  EXPECT_EQ(base::ReadFile(files / deep).value(), "deep");
  EXPECT_EQ(base::ReadFile(files / std::string(Sha256::Of("nameless").str())).value(), "nameless");
  EXPECT_EQ(base::ReadFile(files / "empty").value(), "");
  const ImagePtr image = *store_->Find(Name("1"));
  EXPECT_EQ(image->id, pulled->image_id.str());
  EXPECT_TRUE(IsArtifact(*image));
  EXPECT_GT(image->size, large.size());
  EXPECT_THAT(image->repo_tags, ElementsAre(Name("1")));
  const auto report = CheckStore(*store_, {.contents = true}, {});
  EXPECT_TRUE(report && report->problems.empty());
}

TEST_F(ArtifactTest, TwoOfThemAreTwoImagesThoughTheirConfigIsOne) {
  Push("1", {{"a", "one"}});
  Push("2", {{"a", "two"}});
  ASSERT_TRUE(Pull("1"));
  ASSERT_TRUE(Pull("2"));
  EXPECT_EQ(store_->List()->size(), 2u);
  EXPECT_EQ(base::ReadFile(Files("1") / "a").value(), "one");
  // Known content is not fetched again.
  const int before = registry_.Count("GET", "/blobs/");
  ASSERT_TRUE(Pull("1"));
  EXPECT_EQ(registry_.Count("GET", "/blobs/"), before);
}

TEST_F(ArtifactTest, TitlesThatAreNoFileNamesAreRefused) {
  for (const char* title : {"../x", "/x", "a/../x", "./x", "a/", "a//b", ".wh.x", "a/.wh..wh..opq", ".."}) {
    Push("1", {{title, "x"}});
    EXPECT_THAT(ErrorOf("1"), HasSubstr("is no name for a file")) << title;
  }
  Push("1", {{"x", "1"}, {"x", "2"}});
  EXPECT_THAT(ErrorOf("1"), HasSubstr("two files"));
  Push("1", {{"x", "1"}, {"x/y", "2"}});
  EXPECT_NE(ErrorOf("1"), "pulled");
  EXPECT_TRUE(store_->List()->empty());
}

TEST_F(ArtifactTest, WrongBytesLeaveNothing) {
  Push("1", {{"a", "right"}, {"b", "b"}});
  registry_.SetHook([](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find("/blobs/") == std::string::npos) return std::nullopt;
    return FakeAnswer{.body = "wrong"};
  });
  EXPECT_THAT(ErrorOf("1"), HasSubstr("what was served has digest"));
  EXPECT_TRUE(store_->List()->empty());
  EXPECT_THAT(base::ListFolder(temp_.path() / "images/tmp").value(), IsEmpty());
  EXPECT_THAT(base::ListFolder(temp_.path() / "images/layers").value(), IsEmpty());
}

}  // namespace
}  // namespace berth::image
