// A Network over a fake runner: plugins "first" and "second".
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "network/network.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {

class NetworkTest : public testing::Test {
 protected:
  static constexpr const char* kResult =
      R"({"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/24","interface":0}]})";

  void SetUp() override {
    Configure("1.0.0");
    calls_->Answers("first ADD", kResult);
    calls_->Answers("second ADD", kResult);
  }
  void Configure(const std::string& version, const std::string& extra = "", const std::string& name = "pods") {
    Write(folder_.path() / "net.d" / "10-a.conflist",
          base::Cat(R"({"cniVersion":")", version, R"(","name":")", name, "\"", extra,
                    R"(,"plugins":[{"type":"first"},{"type":"second","capabilities":{"portMappings":true}}]})"));
    if (network_) network_->Reload();
  }
  // Opens it, or opens it again as after a restart.
  Network& Net() {
    if (!network_) {
      Options options{.conf_dir = folder_.path() / "net.d",
                      .cache_dir = folder_.path() / "cache",
                      .status_age = status_age_,
                      .runner = [this](int) { return std::make_unique<FakeRunner>(calls_); }};
      auto opened = Network::Open(std::move(options));
      EXPECT_TRUE(opened) << opened.error().Text();
      network_ = *std::move(opened);
    }
    return *network_;
  }
  void Restart() { network_.reset(); }
  static AttachRequest Pod(const std::string& id = "abc") {
    return {.sandbox_id = id,
            .netns = "/proc/self/ns/net",
            .pod_name = "web",
            .pod_namespace = "shop",
            .pod_uid = "u",
            .port_mappings = {{"tcp", 80, 8080, ""}}};
  }
  base::Path CacheFile(const std::string& id = "abc") const {
    return folder_.path() / "cache/results" / base::Cat("pods-", id, "-eth0");
  }

  TempFolder folder_;
  std::shared_ptr<FakeCalls> calls_ = std::make_shared<FakeCalls>();
  std::chrono::milliseconds status_age_{std::chrono::hours(1)};
  std::unique_ptr<Network> network_;
};

}  // namespace berth::network
