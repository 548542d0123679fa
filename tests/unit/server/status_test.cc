// What the node says of itself, and its images.
#include <nlohmann/json.hpp>

#include "server/image_reply.h"
#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

class Conditions : public Node {
 protected:
  cri::StatusResponse Get(bool verbose = false) {
    cri::StatusRequest request;
    request.set_verbose(verbose);
    const auto reply = Status(services(), request, Bounded());
    EXPECT_TRUE(reply) << TextOf(reply);
    return reply.value_or(cri::StatusResponse());
  }
  cri::RuntimeCondition Condition(const std::string& type) {
    const cri::StatusResponse reply = Get();
    for (const auto& condition : reply.status().conditions()) {
      if (condition.type() == type) return condition;
    }
    ADD_FAILURE() << "no condition " << type;
    return {};
  }
};

TEST_F(Conditions, AreTrueOnAWholeNode) {
  EXPECT_TRUE(Condition("RuntimeReady").status());
  EXPECT_TRUE(Condition("NetworkReady").status());
}

TEST_F(Conditions, NetworkWithoutAListIsNotReadyAndSaysWhy) {
  ASSERT_OK(base::RemoveFile(*temp_ / "net.d/10-a.conflist"));
  services().network.Reload();
  const auto condition = Condition("NetworkReady");
  EXPECT_FALSE(condition.status());
  EXPECT_EQ(condition.reason(), "NetworkPluginNotReady");
  EXPECT_TRUE(condition.message().starts_with("Network plugin returns error: ")) << condition.message();
  EXPECT_TRUE(Condition("RuntimeReady").status());
}

TEST_F(Conditions, NetworkThatTakesNoHostPortsIsReadyAndSaysSo) {
  EXPECT_TRUE(
      Condition("NetworkReady").message().starts_with("network pods has no plugin with the capability portMappings"));
  temp_->File(
      "net.d/10-a.conflist",
      R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first","capabilities":{"portMappings":true}}]})");
  services().network.Reload();
  EXPECT_TRUE(Condition("NetworkReady").status());
  EXPECT_EQ(Condition("NetworkReady").message(), "");
}

TEST_F(Conditions, RuntimeThatIsNotThereIsNotReady) {
  services().default_runtime = "";
  const auto condition = Condition("RuntimeReady");
  EXPECT_FALSE(condition.status());
  EXPECT_EQ(condition.reason(), "NoRuntime");
}

TEST_F(Conditions, HandlersTellWhatTheyCanDo) {
  const cri::StatusResponse reply = Get();
  ASSERT_EQ(reply.runtime_handlers_size(), 2);
  EXPECT_EQ(reply.runtime_handlers(0).name(), "") << "the default's, which pods without a handler ask for";
  EXPECT_EQ(reply.runtime_handlers(1).name(), "fake");
  for (const auto& handler : reply.runtime_handlers()) EXPECT_TRUE(handler.features().recursive_read_only_mounts());
}

TEST_F(Conditions, VerboseTellsProblemsAndTheNetwork) {
  EXPECT_EQ(Get().info_size(), 0);
  const auto info = nlohmann::json::parse(Get(true).info().at("config"));
  EXPECT_EQ(info.at("problems"), nlohmann::json::array({"a record was broken"}));
  EXPECT_EQ(info.at("network").at("name"), "pods");
  EXPECT_EQ(info.at("network").at("plugins"), nlohmann::json::array({"first"}));
  EXPECT_EQ(info.at("cgroupDriver"), "systemd");
}

TEST_F(Conditions, VersionAndRuntimeConfig) {
  EXPECT_EQ(Version(services(), {}, Bounded())->runtime_name(), "berth");
  EXPECT_EQ(Version(services(), {}, Bounded())->runtime_api_version(), "v1");
  const auto config = RuntimeConfig(services(), {}, Bounded());
  EXPECT_TRUE(config->has_linux()) << "SYSTEMD alone would not be on the wire";
  EXPECT_EQ(config->linux().cgroup_driver(), cri::SYSTEMD);
  services().systemd_cgroup = false;
  EXPECT_EQ(RuntimeConfig(services(), {}, Bounded())->linux().cgroup_driver(), cri::CGROUPFS);
}

class Images : public Node {
 protected:
  std::vector<std::string> Tags(const std::string& filter = "") {
    cri::ListImagesRequest request;
    request.mutable_filter()->mutable_image()->set_image(filter);
    const auto reply = ListImages(services(), request, Bounded());
    std::vector<std::string> tags;
    for (const auto& image : reply->images()) tags.push_back(image.repo_tags(0));
    std::sort(tags.begin(), tags.end());
    return tags;
  }
};

TEST_F(Images, AreListedAndFilteredByName) {
  PutImage("registry.example/db:2", "", 20);
  EXPECT_EQ(Tags(), (std::vector<std::string>{"registry.example/app:1", "registry.example/db:2"}));
  EXPECT_EQ(Tags("registry.example/db:2"), std::vector<std::string>{"registry.example/db:2"});
  EXPECT_EQ(Tags("registry.example/none:1"), std::vector<std::string>{});
}

TEST_F(Images, StatusOfOneThatIsNotThereIsEmpty) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image("registry.example/none:1");
  const auto reply = ImageStatus(services(), request, Bounded());
  ASSERT_TRUE(reply) << TextOf(reply);
  EXPECT_FALSE(reply->has_image());
}

TEST_F(Images, VerboseStatusHasTheConfiguration) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image("registry.example/app:1");
  request.set_verbose(true);
  const auto reply = ImageStatus(services(), request, Bounded());
  ASSERT_TRUE(reply) << TextOf(reply);
  EXPECT_EQ(reply->image().uid().value(), 7);
  const auto info = nlohmann::json::parse(reply->info().at("info"));
  EXPECT_EQ(info.at("imageSpec").at("config").at("User"), "7");
  EXPECT_TRUE(info.at("chainID").get<std::string>().starts_with("sha256:"));
}

TEST_F(Images, RemoveIsIdempotent) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image("registry.example/app:1");
  EXPECT_OK(RemoveImage(services(), request, Bounded()));
  EXPECT_EQ(Tags(), std::vector<std::string>{});
  EXPECT_OK(RemoveImage(services(), request, Bounded()));
}

TEST_F(Images, FsInfoTellsTheStateRoot) {
  const auto reply = ImageFsInfo(services(), {}, Bounded());
  ASSERT_EQ(reply->image_filesystems_size(), 1);
  EXPECT_EQ(reply->image_filesystems(0).fs_id().mountpoint(), (*temp_ / "state").native());
  EXPECT_GT(reply->image_filesystems(0).inodes_used().value(), 0u);
  EXPECT_GT(reply->image_filesystems(0).timestamp(), 0);
}

TEST_F(Images, RegistryThatDoesNotAnswerIsToldInTheKubeletsWords) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image("127.0.0.1:1/none:1");  // nobody listens at port 1
  const auto reply = PullImage(services(), request, Bounded());
  EXPECT_EQ(CodeOf(reply), "UNKNOWN");
  EXPECT_TRUE(TextOf(reply).starts_with("RegistryUnavailable: pull failed: ")) << TextOf(reply);
}

TEST(ImageReply, UserIsAUidOrAName) {
  image::Image image;
  image.config.user = "1000:50";
  EXPECT_EQ(ImageReply(image).uid().value(), 1000);
  EXPECT_EQ(ImageReply(image).username(), "");
  image.config.user = "www:www";
  EXPECT_FALSE(ImageReply(image).has_uid());
  EXPECT_EQ(ImageReply(image).username(), "www");
  image.config.user = "";
  EXPECT_FALSE(ImageReply(image).has_uid());
}

TEST(ImageReply, SizeIsNeverZero) {
  EXPECT_EQ(ImageReply(image::Image()).size(), 1u);
}

}  // namespace
}  // namespace berth::server
