#include "image/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "open_store.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class CheckTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners and trusted attributes need root";
    store_ = OpenStore(temp_.path());
    ASSERT_TRUE(store_);
  }
  // An image of these archives, the lowest first.
  void Put(const std::string& name, const std::vector<std::string>& tars) {
    std::vector<LayerPin> pins;
    std::vector<Digest> chain_ids;
    std::string diff_ids;
    for (const std::string& tar : tars) {
      auto unpacker = store_->BeginLayer();
      ASSERT_TRUE(unpacker && (*unpacker)->Write(Bytes(tar)));
      auto layer = (*unpacker)->Finish({});
      ASSERT_TRUE(layer) << layer.error().Text();
      diff_ids += base::Cat(diff_ids.empty() ? "\"" : ",\"", layer->diff_id.str(), "\"");
      const Digest chain_id = ChainId(chain_ids.empty() ? Digest() : chain_ids.back(), layer->diff_id);
      auto pin = store_->CommitLayer(*std::move(layer), chain_id, chain_ids, {});
      ASSERT_TRUE(pin) << pin.error().Text();
      pins.push_back(*std::move(pin));
      chain_ids.push_back(chain_id);
    }
    Image image;
    image.config_json =
        R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[)" + diff_ids + "]}}";
    image.repo_tags = {name};
    const auto put = store_->PutImage(image);
    ASSERT_TRUE(put) << put.error().Text();
    folder_ = *store_->LayerFolder(chain_ids.back());
    layer_ = chain_ids.back().str();
    id_ = (*put)->id;
  }
  CheckReport Check(bool contents, bool repair = false) {
    const auto report = CheckStore(*store_, {.contents = contents, .repair = repair}, {});
    EXPECT_TRUE(report) << report.error().Text();
    return report.value_or(CheckReport());
  }
  void Reopen() {
    store_.reset();
    store_ = OpenStore(temp_.path());
    ASSERT_TRUE(store_);
  }
  std::vector<base::Path> Retired() {
    std::vector<base::Path> out;
    const base::Path folder = temp_.path() / "retired/layers";
    const auto names = base::ListFolder(folder);
    EXPECT_TRUE(names);
    for (size_t i = 0; names && i < names->size(); ++i) out.push_back(folder / (*names)[i]);
    return out;
  }
  static std::vector<std::string> Whats(const CheckReport& report) {
    std::vector<std::string> out;
    for (const StoreProblem& problem : report.problems) out.push_back(problem.what);
    return out;
  }

  TempFolder temp_;
  std::unique_ptr<Store> store_;
  base::Path folder_;  // of the last image's top layer
  std::string layer_;
  std::string id_;
};

const std::string kLower = Tar({Folder("d"), File("d/a", "first"), File("b", "second"), File("empty", "")});
const std::string kUpper = Tar({File("c", Noise(100'000)), HardLink("c2", "c"), Symlink("s", "c"), File(".wh.b", "")});

TEST_F(CheckTest, WholeStoreHasNoProblems) {
  Put("a.test/x:1", {kLower, kUpper});
  Put("a.test/y:1", {kLower});
  const CheckReport report = Check(true);
  EXPECT_THAT(Whats(report), IsEmpty());
  EXPECT_EQ(report.images, 2u);
  EXPECT_EQ(report.layers, 2u);
  EXPECT_EQ(report.unverifiable, 0u);
}

TEST_F(CheckTest, MissingAndAdditionalFilesAreSeen) {
  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(base::RemoveFile(folder_ / "d/a"));
  EXPECT_THAT(Whats(Check(false)), ElementsAre(HasSubstr("4 files and folders where 5 were written")));
  ASSERT_TRUE(base::WriteFile(folder_ / "d/a", "first"));
  EXPECT_THAT(Whats(Check(false)), IsEmpty());
  ASSERT_TRUE(base::WriteFile(folder_ / "d/more", ""));
  EXPECT_THAT(Whats(Check(false)), ElementsAre(HasSubstr("6 files and folders where 5")));
}

// As most programs of a busybox image: the file stays, under its other names.
TEST_F(CheckTest, AMissingNameOfAFileWithSeveralIsSeen) {
  Put("a.test/x:1", {kLower, kUpper});
  ASSERT_TRUE(base::RemoveFile(folder_ / "c2"));
  EXPECT_THAT(Whats(Check(false)), ElementsAre(HasSubstr(" hard links where ")));
}

TEST_F(CheckTest, ChangedBytesAreSeenWhenContentsAreRead) {
  Put("a.test/x:1", {kLower, kUpper});
  std::string changed = Noise(100'000);
  changed[50'000] ^= 1;
  ASSERT_TRUE(base::WriteFile(folder_ / "c", changed));
  EXPECT_EQ(chmod((folder_ / "c").c_str(), 0644), 0);
  // WriteFile made a new file, so the link has the old one: put it right.
  ASSERT_TRUE(base::RemoveFile(folder_ / "c2"));
  ASSERT_EQ(link((folder_ / "c").c_str(), (folder_ / "c2").c_str()), 0);
  EXPECT_THAT(Whats(Check(false)), IsEmpty());
  EXPECT_THAT(Whats(Check(true)), ElementsAre(HasSubstr("the contents have changed")));
}

TEST_F(CheckTest, GarbledRecordsAreSeen) {
  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(base::WriteFile(folder_.parent_path() / "layer.json", "{}"));
  ASSERT_TRUE(base::WriteFile(temp_.path() / "records" / (id_.substr(7) + ".json"), "garbage"));
  EXPECT_THAT(Check(false).problems, SizeIs(2));
}

TEST_F(CheckTest, RepairRemovesWhatIsBrokenAndNothingElse) {
  Put("a.test/whole:1", {kLower});
  const std::string whole = id_;
  Put("a.test/broken:1", {kLower, kUpper});
  ASSERT_TRUE(base::RemoveFile(folder_ / "s"));
  const CheckReport report = Check(false, true);
  EXPECT_THAT(report.removed, ElementsAre(id_));
  EXPECT_FALSE(base::Exists(folder_));
  EXPECT_TRUE(*store_->Find(whole));
  EXPECT_THAT(Whats(Check(true)), IsEmpty());
}

TEST_F(CheckTest, RepairWritesRecordsAgain) {
  Put("a.test/x:1", {kLower});
  const base::Path record = temp_.path() / "records" / (id_.substr(7) + ".json");
  const std::string text = base::ReadFile(record).value_or("");
  for (const bool missing : {false, true}) {
    ASSERT_TRUE(missing ? base::RemoveFile(record) : base::WriteFile(record, text.substr(0, text.size() / 2)));
    const CheckReport report = Check(false, true);
    EXPECT_THAT(Whats(report), ElementsAre(AllOf(HasSubstr("record: "), HasSubstr("; written again"))));
    EXPECT_THAT(report.removed, IsEmpty());
    EXPECT_THAT(Whats(Check(false)), IsEmpty());
  }
  Reopen();
  EXPECT_THAT(store_->problems(), IsEmpty());
  EXPECT_TRUE(*store_->Find("a.test/x:1"));
}

TEST_F(CheckTest, RecordOfAnotherContentIsSeen) {
  Put("a.test/x:1", {kLower});
  const base::Path record = temp_.path() / "records" / (id_.substr(7) + ".json");
  const std::string before = base::ReadFile(record).value_or("");
  Put("a.test/y:1", {kLower});  // the same image
  ASSERT_TRUE(base::WriteFile(record, before));
  EXPECT_THAT(Whats(Check(false, true)), ElementsAre(HasSubstr("says something else")));
  Reopen();
  EXPECT_TRUE(*store_->Find("a.test/y:1"));
}

TEST_F(CheckTest, MissingFolderOfALayerCostsItsImageAndCanBePutAgain) {
  Put("a.test/x:1", {kLower, kUpper});
  ASSERT_TRUE(base::RemoveTree(folder_.parent_path()));
  EXPECT_THAT(Check(false, true).removed, ElementsAre(id_));
  Put("a.test/x:1", {kLower, kUpper});
  EXPECT_THAT(Whats(Check(true)), IsEmpty());
  EXPECT_EQ(base::ReadFile(folder_ / "c").value_or(""), Noise(100'000));
}

TEST_F(CheckTest, ContainersKeepWhatIsLeftOfALayerWhileItIsPutAgain) {
  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(store_->RefImage("a.test/x:1", "old"));
  ASSERT_TRUE(base::RemoveFile(folder_ / "b"));
  const CheckReport report = Check(false, true);
  EXPECT_THAT(report.removed, ElementsAre(id_));
  EXPECT_FALSE(base::Exists(folder_));
  ASSERT_THAT(Retired(), SizeIs(1));
  EXPECT_EQ(base::ReadFile(Retired().at(0) / "diff/d/a").value_or(""), "first");

  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(store_->RefImage("a.test/x:1", "new"));
  ASSERT_TRUE(store_->Remove("a.test/x:1"));
  EXPECT_EQ(base::ReadFile(folder_ / "b").value_or(""), "second");
  store_->Unref("old");
  EXPECT_THAT(Retired(), IsEmpty());
  EXPECT_TRUE(base::Exists(folder_)) << "the other container's";
  store_->Unref("new");
  EXPECT_FALSE(base::Exists(folder_));
  EXPECT_EQ(store_->Usage().bytes, 0u);
}

TEST_F(CheckTest, WhatContainersKeepStaysOverARestart) {
  Put("a.test/x:1", {kLower});
  const ImagePtr image = *store_->RefImage("a.test/x:1", "old");
  ASSERT_TRUE(base::RemoveFile(folder_ / "b"));
  (void)Check(false, true);
  store_.reset();
  auto store = Store::Open({.folder = temp_.path()});
  ASSERT_TRUE(store);
  store_ = *std::move(store);
  store_->RefLayers("old", image->chain_ids);
  store_->Collect();
  EXPECT_THAT(Retired(), SizeIs(1));
  store_->Unref("old");
  EXPECT_THAT(Retired(), IsEmpty());
}

TEST_F(CheckTest, WhatNoContainerKeepsGoesAtTheNextStart) {
  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(store_->RefImage("a.test/x:1", "old"));
  ASSERT_TRUE(base::RemoveFile(folder_ / "b"));
  (void)Check(false, true);
  EXPECT_THAT(Retired(), SizeIs(1));
  Reopen();
  EXPECT_THAT(Retired(), IsEmpty());
}

TEST_F(CheckTest, APinOnABrokenLayerIsNoneOnTheNextOfItsName) {
  Put("a.test/x:1", {kLower});
  auto pin = store_->AcquireLayer(*Digest::Parse(layer_));
  ASSERT_TRUE(pin);
  ASSERT_TRUE(base::RemoveFile(folder_ / "b"));
  (void)Check(false, true);
  Put("a.test/x:1", {kLower});
  pin.reset();
  EXPECT_TRUE(base::Exists(folder_ / "b"));
  EXPECT_TRUE(store_->HasLayer(*Digest::Parse(layer_)));
}

TEST_F(CheckTest, LayersThatOnlyContainersHaveAreCheckedToo) {
  Put("a.test/x:1", {kLower});
  ASSERT_TRUE(store_->RefImage("a.test/x:1", "container"));
  ASSERT_TRUE(store_->Remove("a.test/x:1"));
  ASSERT_TRUE(base::RemoveFile(folder_ / "b"));
  EXPECT_THAT(Whats(Check(false)), ElementsAre(HasSubstr("4 files")));
}

TEST_F(CheckTest, StrangersAreSeenAndTakenAway) {
  Put("a.test/x:1", {kLower});
  for (const char* name : {"layers/more", "shifted/more"}) ASSERT_TRUE(base::MakeDirs(temp_.path() / name, 0755));
  ASSERT_TRUE(base::WriteFile(temp_.path() / "records/more.json", "kept"));
  const CheckReport report = Check(false, true);
  EXPECT_THAT(Whats(report), ElementsAre("belongs to no image; taken away", "belongs to no image; taken away",
                                         "belongs to no image; taken away"));
  EXPECT_THAT(report.removed, IsEmpty());
  EXPECT_THAT(Whats(Check(true)), IsEmpty());
  EXPECT_EQ(base::ReadFile(temp_.path() / "broken/more.json").value_or(""), "kept");
}

TEST_F(CheckTest, ReplacedAndSparseFilesAreNotTakenForDamage) {
  Put("a.test/x:1", {Tar({File("a", "one"), File("a", "two"), Symlink("b", "a"), Folder("b")})});
  const CheckReport report = Check(true);
  EXPECT_THAT(Whats(report), IsEmpty());
  EXPECT_EQ(report.unverifiable, 1u);
}

TEST_F(CheckTest, CancelledCheckEnds) {
  Put("a.test/x:1", {kLower});
  const base::Context context = base::Context::Make();
  context.Cancel();
  const auto report = CheckStore(*store_, {}, context);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kCancelled);
}

}  // namespace
}  // namespace berth::image
