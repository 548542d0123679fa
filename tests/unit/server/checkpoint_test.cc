// CheckpointContainer and containers that are made from its archives.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "image/tar_reader.h"
#include "json/json.h"
#include "tests/unit/image/tar_builder.h"
#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

namespace fs = std::filesystem;

class Checkpoint : public Node {
 protected:
  // A running container that has made, changed and removed files.
  void SetUp() override {
    Node::SetUp();
    if (!temp_) return;
    pod_ = RunPod("web");
    id_ = CreateStarted(pod_, "app");
    const base::Path root = RootOf(id_);
    ASSERT_OK(base::WriteFile(root / "made", "made\n", 0640));
    ASSERT_OK(base::RemoveFile(root / "etc/passwd"));
    archive_ = *temp_ / "archive.tar";
  }
  base::Path RootOf(const std::string& id) const { return *temp_ / "run/containers" / id / "bundle/rootfs"; }
  base::Path StateOf(const std::string& id) const { return *temp_ / "state/containers" / id; }

  base::Status Write(const base::Path& location, int64_t timeout = 0) {
    cri::CheckpointContainerRequest request;
    request.set_container_id(id_);
    request.set_location(location.native());
    request.set_timeout(timeout);
    RETURN_IF_ERROR(CheckpointContainer(services(), request, Bounded()));
    return {};
  }
  cri::CreateContainerRequest RestoreRequest() const {
    cri::CreateContainerRequest request = ContainerRequest(pod_, "again");
    request.mutable_config()->mutable_image()->set_image(archive_.native());
    return request;
  }
  std::string Refusal(const cri::CreateContainerRequest& request) {
    const auto reply = CreateContainer(services(), request, Bounded());
    return CodeOf(reply) + " " + TextOf(reply);
  }
  base::Status Stop(const std::string& id) {
    cri::StopContainerRequest request;
    request.set_container_id(id);
    RETURN_IF_ERROR(StopContainer(services(), request, Bounded()));
    return {};
  }

  std::string pod_;
  std::string id_;
  base::Path archive_;
};

// All files of an archive.
struct Contents : image::TarSink {
  base::Status Begin(const image::TarEntry& entry) override {
    current = entry.type == image::TarEntry::Type::kFile ? &files[entry.name] : nullptr;
    return {};
  }
  base::Status Data(uint64_t, std::span<const uint8_t> bytes) override {
    if (current != nullptr) current->append(bytes.begin(), bytes.end());
    return {};
  }
  base::Status End() override { return {}; }
  static std::map<std::string, std::string> Of(std::string_view bytes) {
    Contents out;
    image::TarReader reader(out);
    EXPECT_OK(reader.Write(image::Bytes(bytes)));
    EXPECT_OK(reader.Finish());
    return out.files;
  }
  std::map<std::string, std::string> files;
  std::string* current = nullptr;
};

TEST_F(Checkpoint, ArchiveHoldsWhatOthersLookFor) {
  ASSERT_OK(Write(archive_));
  struct stat info {};
  ASSERT_EQ(stat(archive_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  auto files = Contents::Of(base::ReadFile(archive_).value());
  const auto config = json::Parse(files["config.dump"], "config.dump").value();
  EXPECT_EQ(config.at("id"), id_);
  EXPECT_EQ(config.at("rootfsImageName"), "registry.example/app:1");
  EXPECT_EQ(json::Parse(files["spec.dump"], "spec.dump").value().at("process").at("args").at(0), "/bin/app");
  EXPECT_EQ(json::Parse(files["status.dump"], "status.dump").value().at("state"), 1);
  EXPECT_EQ(files["deleted.files"], R"(["/etc/passwd"])");
  EXPECT_EQ(files["checkpoint/inventory.img"], "inventory");
  EXPECT_EQ(files["checkpoint/pages-1.img"], std::string(10'000, 'p'));
  EXPECT_EQ(files["stats-dump"], "figures");
  EXPECT_EQ(Contents::Of(files["rootfs-diff.tar"])["made"], "made\n");
  EXPECT_EQ(StatusOf(id_).state(), cri::CONTAINER_RUNNING);
  EXPECT_FALSE(base::Exists(StateOf(id_) / "checkpoint"));
}

TEST_F(Checkpoint, RequestIsCheckedFirst) {
  cri::CheckpointContainerRequest request;
  request.set_container_id("none");
  EXPECT_EQ(CodeOf(CheckpointContainer(services(), request, Bounded())), "NOT_FOUND");
  request.set_container_id(id_);
  request.set_location("relative.tar");
  EXPECT_EQ(CodeOf(CheckpointContainer(services(), request, Bounded())), "INVALID_ARGUMENT");
  request.set_location((*temp_ / "none/archive.tar").native());
  EXPECT_EQ(CodeOf(CheckpointContainer(services(), request, Bounded())), "NOT_FOUND");
}

TEST_F(Checkpoint, WhatIsThereIsNotReplaced) {
  ASSERT_OK(base::WriteFile(archive_, "precious"));
  EXPECT_EQ(CodeOf(base::Result<int>(Write(archive_).map([] { return 0; }))), "ALREADY_EXISTS");
  EXPECT_EQ(base::ReadFile(archive_).value(), "precious");
  EXPECT_EQ(CountRuntime("checkpoint"), 0u);
}

TEST_F(Checkpoint, FailureSaysWhatCriuSaidAndLeavesNothing) {
  runtime_->Fail("checkpoint", base::Error{.code = base::Code::kInternal, .message = "criu failed"});
  const base::Status done = Write(archive_);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().Text().find("criu failed: no luck"), std::string::npos) << done.error().Text();
  EXPECT_FALSE(base::Exists(archive_));
  EXPECT_FALSE(base::Exists(StateOf(id_) / "checkpoint"));
  EXPECT_EQ(StatusOf(id_).state(), cri::CONTAINER_RUNNING);
}

TEST_F(Checkpoint, WithoutCriuBothWaysAreUnimplemented) {
  ASSERT_OK(Write(archive_));
  const auto refusals = [&](const char* why) {
    const base::Status done = Write(*temp_ / "other.tar");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, base::Code::kUnimplemented);
    EXPECT_NE(done.error().Text().find(why), std::string::npos) << done.error().Text();
    const std::string refused = Refusal(RestoreRequest());
    EXPECT_TRUE(refused.starts_with("UNIMPLEMENTED")) << refused;
    EXPECT_NE(refused.find(why), std::string::npos) << refused;
  };
  has_criu_ = false;
  refusals("criu is not installed");
  has_criu_ = true;
  runtime_->SetFeatures({.version = "crun 1.8.1"});
  refusals("crun 1.8.1) is built without support for CRIU");
}

TEST_F(Checkpoint, RestoredContainerHasTheFilesAndRunsOnlyOnceStarted) {
  ASSERT_OK(Write(archive_));
  const std::string again = Create(RestoreRequest());
  const cri::ContainerStatus status = StatusOf(again);
  EXPECT_EQ(status.state(), cri::CONTAINER_CREATED);
  EXPECT_EQ(status.image_id(), StatusOf(id_).image_id());
  EXPECT_EQ(CountRuntime("restore"), 0u);
  EXPECT_EQ(base::ReadFile(RootOf(again) / "made").value(), "made\n");
  EXPECT_FALSE(base::Exists(RootOf(again) / "etc/passwd"));
  Start(again);
  EXPECT_EQ(CountRuntime("restore " + again), 1u);
  EXPECT_EQ(CountRuntime("start " + again), 0u);
  EXPECT_EQ(StatusOf(again).state(), cri::CONTAINER_RUNNING);
  EXPECT_TRUE(Eventually([&] { return !base::Exists(StateOf(again) / "restore"); }));
  EXPECT_OK(Stop(again));
  EXPECT_EQ(StatusOf(again).exit_code(), 137);
}

TEST_F(Checkpoint, RestoredContainerThatWasNeverStartedStops) {
  ASSERT_OK(Write(archive_));
  const std::string again = Create(RestoreRequest());
  EXPECT_OK(Stop(again));
  EXPECT_EQ(StatusOf(again).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(StatusOf(again).exit_code(), 137);
  cri::StartContainerRequest start;
  start.set_container_id(again);
  EXPECT_EQ(CodeOf(StartContainer(services(), start, Bounded())), "FAILED_PRECONDITION");
}

TEST_F(Checkpoint, FailedRestoreIsAStartError) {
  ASSERT_OK(Write(archive_));
  const std::string again = Create(RestoreRequest());
  runtime_->Fail("create", base::Error{.code = base::Code::kInternal, .message = "unused"});
  runtime_->Fail("restore", base::Error{.code = base::Code::kInternal, .message = "no such image"});
  cri::StartContainerRequest start;
  start.set_container_id(again);
  const auto reply = StartContainer(services(), start, Bounded());
  EXPECT_NE(TextOf(reply).find("no such image"), std::string::npos) << TextOf(reply);
  EXPECT_EQ(StatusOf(again).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(StatusOf(again).reason(), "StartError");
}

TEST_F(Checkpoint, ArchivesThatAreNoneOrNotOursAreRefused) {
  ASSERT_OK(Write(archive_));
  EXPECT_EQ(chmod(archive_.c_str(), 0620), 0);
  EXPECT_TRUE(Refusal(RestoreRequest()).starts_with("FAILED_PRECONDITION"));
  EXPECT_EQ(chmod(archive_.c_str(), 0600), 0);
  cri::CreateContainerRequest terminal = RestoreRequest();
  terminal.mutable_config()->set_tty(true);
  EXPECT_TRUE(Refusal(terminal).starts_with("INVALID_ARGUMENT tty"));

  const std::string whole = base::ReadFile(archive_).value();
  ASSERT_OK(base::WriteFile(archive_, whole.substr(0, whole.size() / 2)));
  EXPECT_TRUE(Refusal(RestoreRequest()).starts_with("INVALID_ARGUMENT"));
  ASSERT_OK(
      base::WriteFile(archive_, image::Tar({image::File("config.dump", R"({"rootfsImageName":"none.example/none:1"})"),
                                            image::File("spec.dump", "{}")})));
  EXPECT_TRUE(Refusal(RestoreRequest()).starts_with("NOT_FOUND"));
  const auto ours = image::File("config.dump", R"({"rootfsImageName":"registry.example/app:1"})");
  ASSERT_OK(base::WriteFile(archive_, image::Tar({ours, image::File("spec.dump", "{}")})));
  EXPECT_NE(Refusal(RestoreRequest()).find("no images of CRIU"), std::string::npos);
  ASSERT_OK(base::WriteFile(
      archive_, image::Tar({ours, image::File("spec.dump", "{}"), image::File("checkpoint/../../escaped", "x")})));
  EXPECT_NE(Refusal(RestoreRequest()).find("is no name of an image"), std::string::npos);
  ASSERT_OK(base::WriteFile(
      archive_, image::Tar({ours, image::File("spec.dump", R"({"mounts":[{"type":"bind","destination":"/data"}]})"),
                            image::File("checkpoint/inventory.img", "x")})));
  EXPECT_NE(Refusal(RestoreRequest()).find("mount at /data"), std::string::npos);
  ASSERT_OK(base::RemoveFile(archive_));
  EXPECT_TRUE(Refusal(RestoreRequest()).starts_with("NOT_FOUND"));
}

}  // namespace
}  // namespace berth::server
