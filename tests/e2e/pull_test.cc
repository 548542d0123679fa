// Images from a real registry: what arrives, what is refused, and what an interrupted pull leaves.
#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using std::chrono::milliseconds;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class Pull : public OnNode {
 protected:
  void SetUp() override {
    ExpectImagesToChange();
    OnNode::SetUp();
  }

  // Runs `script` in `image` to its end; what it wrote.
  std::string OutputOf(const std::string& image, const std::string& script) {
    Made made = RunContainer(
        Sh(script), [&](auto&, v1::ContainerConfig& config) { config.mutable_image()->set_image(Image(image)); });
    if (made.container.empty()) return "not run";
    EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
    return LogText(made.log());
  }
  bool Listed(const std::string& image) { return cri().ImageStatus(Image(image))->has_image(); }
  void ExpectNoPartsLeft() {
    Path parts = daemon().options().state_root / "images/tmp";
    EXPECT_TRUE(Eventually([&] {
      auto names = base::ListFolder(parts);
      return !names || names->empty();
    })) << parts
        << " is not empty";
  }
};

TEST_F(Pull, AnswersTheIdThatListsAndStatusShow) {
  auto pulled = cri().Pull(Image("busybox:zstd"));
  ASSERT_CALL_OK(pulled);
  auto status = cri().ImageStatus(Image("busybox:zstd"));
  EXPECT_EQ(status->image().id(), pulled->image_ref());
  EXPECT_GT(status->image().size(), 0u);
  EXPECT_THAT(status->image().repo_tags(), Contains(Image("busybox:zstd")));
  EXPECT_THAT(status->image().repo_digests(), Contains(StartsWith(Image("busybox@sha256:"))));
  auto images = cri().Images();
  std::vector<std::string> ids;
  for (const auto& image : images->images()) ids.push_back(image.id());
  EXPECT_THAT(ids, Contains(pulled->image_ref()));
}

TEST_F(Pull, ZstdLayersUnpack) {
  ASSERT_CALL_OK(cri().Pull(Image("busybox:zstd")));
  EXPECT_EQ(OutputOf("busybox:zstd", "cat /zstd"), "zstd\n");
}

TEST_F(Pull, LayersWithLargeWindowsShareALittleMemory) {
  const auto peak = [&] {
    const std::string status = base::ReadFile(base::Cat("/proc/", daemon().pid(), "/status")).value_or("");
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::stoul(status.substr(at + 6));
  };
  // proc(5): from now on the peak is of what follows.
  ASSERT_STATUS_OK(base::WriteKernelFile(base::Cat("/proc/", daemon().pid(), "/clear_refs"), "5"));
  const size_t before = peak();
  ASSERT_GT(before, 0U);
  ASSERT_CALL_OK(cri().Pull(Image("wide:1")));
  EXPECT_LT(peak() - before, 64U << 10) << "KiB more than the " << before << " before the pull";
  RecordProperty("pull_peak_kib", static_cast<int>(peak() - before));
  const auto huge = cri().Pull(Image("wide:huge"));
  EXPECT_THAT(huge.message(), testing::AllOf(HasSubstr("131072 KiB"), HasSubstr("image.window_memory")));
  EXPECT_FALSE(Listed("wide:huge"));
  ExpectNoPartsLeft();
}

TEST_F(Pull, UncompressedLayersUnpack) {
  ASSERT_CALL_OK(cri().Pull(Image("busybox:plain")));
  EXPECT_EQ(OutputOf("busybox:plain", "cat /plain"), "plain\n");
}

TEST_F(Pull, IndexGivesTheImageOfThisMachine) {
  ASSERT_CALL_OK(cri().Pull(Image("index:1")));
  EXPECT_EQ(OutputOf("index:1", "cat /architecture"), "amd64\n");
}

TEST_F(Pull, IndexWithoutThisMachinesPlatformIsAnError) {
  EXPECT_FALSE(cri().Pull(Image("index:foreign")).ok());
  EXPECT_FALSE(Listed("index:foreign"));
}

TEST_F(Pull, WhiteoutsOpaqueFoldersHardLinksModesAndOwnersAreRight) {
  ASSERT_CALL_OK(cri().Pull(Image("whiteouts:1")));
  EXPECT_EQ(OutputOf("whiteouts:1",
                     "cd /data; find . | sort | tr '\\n' ' '; echo; cat gone; stat -c '%h' linked; cat second;"
                     "stat -c '%a' setuid; stat -c '%a %u %g' owned; stat -c %Y keep"),
            ". ./gone ./keep ./linked ./owned ./second ./setuid ./tree ./tree/new \n"
            "back\n2\nlinked\n4755\n640 1000 2000\n1700000000\n");
}

TEST_F(Pull, DigestTagAndIdNameTheSameImage) {
  auto pulled = cri().Pull(Image());
  ASSERT_CALL_OK(pulled);
  auto by_tag = cri().ImageStatus(Image());
  ASSERT_TRUE(by_tag->has_image());
  ASSERT_GT(by_tag->image().repo_digests_size(), 0);
  std::string digest = by_tag->image().repo_digests(0);
  std::string hex = pulled->image_ref().substr(pulled->image_ref().find(':') + 1);
  for (const std::string& name : {digest, pulled->image_ref(), hex, hex.substr(0, 12)}) {
    EXPECT_THAT(cri().ImageStatus(name)->image(), SameMessage(by_tag->image())) << name;
  }
  auto again = cri().Pull(digest);
  ASSERT_CALL_OK(again);
  EXPECT_EQ(again->image_ref(), pulled->image_ref());
}

TEST_F(Pull, UserOfTheImageIsReported) {
  ASSERT_CALL_OK(cri().Pull(Image("config:1")));
  auto status = cri().ImageStatus(Image("config:1"));
  EXPECT_EQ(status->image().username(), "user");
  EXPECT_FALSE(status->image().has_uid());
}

class PullOfBroken : public Pull, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Images, PullOfBroken, testing::Values("corrupt", "mismatch", "short"), RuntimeName);

TEST_P(PullOfBroken, IsRefusedAndLeavesNothing) {
  std::string image = GetParam() + ":1";
  auto pulled = cri().Pull(Image(image));
  EXPECT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.message(), testing::Not(IsEmpty()));
  EXPECT_FALSE(Listed(image));
  ExpectNoPartsLeft();
}

TEST_F(Pull, ArchiveCannotWriteOutsideItsLayer) {
  (void)cri().Pull(Image("escape:1"));
  EXPECT_FALSE(base::Exists("/escaped-from-layer"));
  for (Path at = daemon().options().state_root; at != at.root_path(); at = at.parent_path()) {
    EXPECT_FALSE(base::Exists(at / "escaped-from-layer")) << at;
  }
  (void)cri().RemoveImage(Image("escape:1"));
}

TEST_F(Pull, UnknownTagAndUnknownRepositoryAreErrorsThatNameThem) {
  for (const char* name : {"busybox:none", "none:1"}) {
    auto pulled = cri().Pull(Image(name));
    EXPECT_THAT(pulled.code(), AnyOf(grpc::StatusCode::NOT_FOUND, grpc::StatusCode::UNKNOWN)) << pulled.message();
    EXPECT_THAT(pulled.message(), HasSubstr(name));
  }
}

TEST_F(Pull, RegistryThatIsDownIsSaidInTheKubeletsWords) {
  auto pulled = cri().Pull("127.0.0.1:1/e2e/busybox:1");
  EXPECT_EQ(pulled.code(), grpc::StatusCode::UNKNOWN);
  EXPECT_THAT(pulled.message(), StartsWith("RegistryUnavailable"));
  ExpectNoPartsLeft();
}

TEST_F(Pull, ManyCallersOfOneImageGetOneId) {
  std::vector<std::string> ids(8);
  std::vector<std::thread> callers;
  for (std::string& id : ids) {
    callers.emplace_back([&] {
      auto pulled = cri().Pull(Image("big:1"));
      id = pulled.ok() ? pulled->image_ref() : pulled.message();
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(ids, testing::Each(ids[0]));
  EXPECT_TRUE(Listed("big:1"));
}

TEST_F(Pull, AbandonedPullLeavesNothingThatLooksComplete) {
  auto pulled = cri().Pull(Image("big:1"), milliseconds(60));
  if (pulled.ok()) GTEST_SKIP() << "this machine pulled 24 MB in 60 ms";
  EXPECT_EQ(pulled.code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(Listed("big:1"));
  ASSERT_CALL_OK(cri().Pull(Image("big:1")));
  EXPECT_EQ(OutputOf("big:1", "stat -c %s /noise"), "25165824\n");
  ExpectNoPartsLeft();
}

TEST_F(Pull, PullSurvivesKillOfTheDaemon) {
  for (int wait_ms : {30, 80, 160}) {
    std::jthread caller([&] { (void)cri().Pull(Image("big:1"), milliseconds(4000)); });
    std::this_thread::sleep_for(milliseconds(wait_ms));
    ASSERT_STATUS_OK(daemon().Kill());
    caller.join();
    StartAgain();
    ASSERT_CALL_OK(cri().Images());
    ASSERT_CALL_OK(cri().Pull(Image("big:1")));
    EXPECT_EQ(OutputOf("big:1", "sha256sum /noise | cut -c1-8; cat /noise | wc -c | tr -d ' '").substr(9),
              "25165824\n");
    RemoveEverything();
    ASSERT_CALL_OK(cri().RemoveImage(Image("big:1")));
  }
  ExpectNoPartsLeft();
}

TEST_F(Pull, RemovedImageIsGoneUnderEveryNameAndTwice) {
  ASSERT_CALL_OK(cri().Pull(Image("busybox:zstd")));
  std::string id = cri().ImageStatus(Image("busybox:zstd"))->image().id();
  ASSERT_CALL_OK(cri().RemoveImage(id));
  EXPECT_FALSE(Listed("busybox:zstd"));
  EXPECT_CALL_OK(cri().RemoveImage(id));
  EXPECT_CALL_OK(cri().RemoveImage(Image("never-pulled:1")));
}

TEST_F(Pull, ImageFsInfoNamesARealFolderAndBytes) {
  auto info = cri().Call(&v1::ImageService::Stub::ImageFsInfo, v1::ImageFsInfoRequest());
  ASSERT_CALL_OK(info);
  ASSERT_GT(info->image_filesystems_size(), 0);
  EXPECT_TRUE(base::Exists(info->image_filesystems(0).fs_id().mountpoint()));
  EXPECT_GT(info->image_filesystems(0).used_bytes().value(), 1000000u);
  EXPECT_GT(info->image_filesystems(0).timestamp(), 0);
}

TEST_F(Pull, ImagesSurviveARestart) {
  auto before = cri().ImageStatus(Image());
  Restart();
  EXPECT_THAT(cri().ImageStatus(Image())->image(), SameMessage(before->image()));
}

}  // namespace
}  // namespace berth::e2e
