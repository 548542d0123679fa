// What is given to berthd in confidence is in nothing that it writes: logs, state, metrics, traces, timelines.
#include <sys/stat.h>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/collector.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::IsEmpty;

// Each kind has a text of its own, so that a finding says what leaked.
constexpr const char* kPassword = "pw-Zq7Rk1uXw9";
constexpr const char* kIdentityToken = "it-Hh3Vb8sLm2";
constexpr const char* kRegistryToken = "rt-Pc5Yt6nGd4";
constexpr const char* kVariable = "ev-Jf2Wx8qBs7";
constexpr const char* kArgument = "ar-Mk9Tz3vCn5";
constexpr const char* kInput = "in-Dw4Lp7rQe1";

// The text itself and what base64 makes of it at each of the three places where it can begin.
std::vector<std::string> Forms(const std::string& secret) {
  std::vector<std::string> out = {secret};
  for (size_t shift = 0; shift < 3; ++shift) {
    const std::string coded = base::Base64Encode(std::string(shift, 'x') + secret);
    const size_t begin = (shift * 8 + 5) / 6;
    const size_t whole = (shift + secret.size()) * 8 / 6;
    out.push_back(coded.substr(begin, whole - begin));
  }
  return out;
}

bool Holds(const std::string& text, const std::string& secret) {
  for (const std::string& form : Forms(secret)) {
    if (text.find(form) != std::string::npos) return true;
  }
  return false;
}

class Secrets : public OnNode {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/curl")) GTEST_SKIP() << "curl is not installed";
    ExpectImagesToChange();
    OnNode::SetUp();
  }
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["log.level"] = "debug";
    auto collector = Collector::Start();
    EXPECT_TRUE(collector) << collector.error().Text();
    if (collector) {
      collector_ = *std::move(collector);
      options.settings["tracing.endpoint"] = collector_->endpoint();
    }
    return options;
  }

  Reply<v1::PullImageResponse> Pull(const std::string& image, const std::function<void(v1::AuthConfig&)>& fill) {
    v1::PullImageRequest request;
    request.mutable_image()->set_image(image);
    fill(*request.mutable_auth());
    return cri().Call(&v1::ImageService::Stub::PullImage, request);
  }

  // Files that berthd wrote and that hold the secret, each with its mode. What the container itself wrote is its own
  // affair.
  std::vector<std::string> FilesWith(const std::string& secret) {
    std::vector<std::string> out;
    for (const base::Path& root : {daemon().options().state_root, daemon().options().run_root}) {
      for (const auto& file : std::filesystem::recursive_directory_iterator(
               root, std::filesystem::directory_options::skip_permission_denied)) {
        const std::string path = file.path();
        if (!file.is_regular_file() || path.find("/rootfs/") != std::string::npos ||
            path.find("/images/layers/") != std::string::npos)
          continue;
        if (Holds(base::ReadFile(path, 64 << 20).value_or(""), secret)) out.push_back(path);
      }
    }
    return out;
  }
  // Everything that berthd tells others without being asked for this very container.
  void ExpectUntold(const std::string& secret) {
    EXPECT_FALSE(Holds(daemon().Log(64 << 20), secret)) << secret << " is in the log";
    base::RunOptions scrape{.spawn = {.program = "/usr/bin/curl",
                                      .arguments = {"curl", "-sS", "-f", "http://127.0.0.1:9465/metrics"},
                                      .environment = {"PATH=/usr/bin"}},
                            .output_limit = 4 << 20};
    const auto metrics = base::Run(std::move(scrape), base::Context().WithTimeout(std::chrono::seconds(30)));
    ASSERT_TRUE(metrics && metrics->exit.code == 0);
    EXPECT_FALSE(Holds(metrics->output, secret)) << secret << " is in the metrics";
    for (const std::string& request : collector_->requests())
      EXPECT_FALSE(Holds(request, secret)) << secret << " is in a trace";
    v1::StatusRequest verbose;
    verbose.set_verbose(true);
    const auto status = cri().Call(&v1::RuntimeService::Stub::Status, verbose);
    ASSERT_CALL_OK(status);
    EXPECT_FALSE(Holds(status->ShortDebugString(), secret)) << secret << " is in Status";
  }

  std::unique_ptr<Collector> collector_;
};

TEST_F(Secrets, CredentialsOfPullsAreWrittenNowhere) {
  ASSERT_CALL_OK(cri().RemoveImage(Image()));
  const auto password = [](v1::AuthConfig& auth) {
    auth.set_username("somebody");
    auth.set_password(kPassword);
  };
  // Taken, refused, and not even reached: errors are where things slip out.
  ASSERT_CALL_OK(Pull(Image(), password));
  EXPECT_FALSE(Pull(Image("missing:1"), password).ok());
  EXPECT_FALSE(Pull("127.0.0.1:1/nobody:1", [](v1::AuthConfig& auth) {
                 auth.set_auth(base::Base64Encode(base::Cat("somebody:", kPassword)));
               }).ok());
  for (const char* image : {"missing:2", "missing:3"}) {
    EXPECT_FALSE(Pull(Image(image), [](v1::AuthConfig& auth) { auth.set_identity_token(kIdentityToken); }).ok());
    EXPECT_FALSE(Pull(Image(image), [](v1::AuthConfig& auth) { auth.set_registry_token(kRegistryToken); }).ok());
  }
  ASSERT_TRUE(Eventually([&] {
    for (const auto& span : collector_->spans()) {
      if (span.at("name") == "PullImage" && span.contains("status")) return true;
    }
    return false;
  }));
  for (const char* secret : {kPassword, kIdentityToken, kRegistryToken}) {
    ExpectUntold(secret);
    EXPECT_THAT(FilesWith(secret), IsEmpty());
  }
}

TEST_F(Secrets, VariablesAndCommandsAreOnlyWhereTheContainerNeedsThem) {
  const Made made = RunContainer(Sh("sleep 1000"), [](auto&, v1::ContainerConfig& config) {
    auto* variable = config.add_envs();
    variable->set_key("SECRET");
    variable->set_value(kVariable);
  });
  ASSERT_CALL_OK(cri().Exec(made.container, {"sh", "-c", base::Cat("echo ", kArgument, " > /dev/null")}));
  EXPECT_CALL_OK(cri().Exec(made.container, {"sh", "-c", base::Cat("echo ", kInput, "; exit 3")}));
  // One that cannot run tells of it.
  (void)cri().Exec(made.container, {base::Cat("/", kArgument)});
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  ASSERT_TRUE(Eventually([&] {
    for (const auto& span : collector_->spans()) {
      if (span.at("name") == "StopContainer operation") return true;
    }
    return false;
  }));
  for (const char* secret : {kVariable, kInput}) ExpectUntold(secret);

  // The record (for a retry and for its status) and the OCI runtime's files, which root alone can read.
  const auto holding = FilesWith(kVariable);
  EXPECT_FALSE(holding.empty()) << "else the search finds nothing at all";
  for (const std::string& path : holding) {
    EXPECT_TRUE(path.find(made.container) != std::string::npos) << path;
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 077, 0u) << path;
    EXPECT_EQ(path.find("/timelines/"), std::string::npos);
  }
  EXPECT_THAT(FilesWith(kInput), IsEmpty()) << "an exec leaves no file";
  EXPECT_THAT(FilesWith(kArgument), IsEmpty());
  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  EXPECT_THAT(FilesWith(kVariable), IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
