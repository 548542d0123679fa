// What the runtime says about itself.
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using Runtime = v1::RuntimeService::Stub;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

class Status : public OnNode {};

TEST_F(Status, VersionFillsEveryField) {
  auto version = cri().Call(&Runtime::Version, v1::VersionRequest());
  ASSERT_CALL_OK(version);
  EXPECT_THAT(version->version(), Not(IsEmpty()));
  EXPECT_EQ(version->runtime_name(), "berth");
  EXPECT_THAT(version->runtime_version(), Not(IsEmpty()));
  EXPECT_EQ(version->runtime_api_version(), "v1");
}

TEST_F(Status, BothConditionsHoldAndEveryHandlerIsNamed) {
  auto status = cri().Call(&Runtime::Status, v1::StatusRequest());
  ASSERT_CALL_OK(status);
  std::map<std::string, bool> conditions;
  for (const auto& condition : status->status().conditions()) conditions[condition.type()] = condition.status();
  EXPECT_TRUE(conditions["RuntimeReady"]);
  EXPECT_TRUE(conditions["NetworkReady"]);
  std::vector<std::string> handlers;
  for (const auto& handler : status->runtime_handlers()) handlers.push_back(handler.name());
  EXPECT_THAT(handlers, Contains(""));
  for (const std::string& name : InstalledRuntimes()) EXPECT_THAT(handlers, Contains(name));
  EXPECT_THAT(status->info(), IsEmpty());
}

TEST_F(Status, RuntimeConfigNamesTheCgroupDriver) {
  auto config = cri().Call(&Runtime::RuntimeConfig, v1::RuntimeConfigRequest());
  ASSERT_CALL_OK(config);
  EXPECT_TRUE(config->has_linux());
  EXPECT_EQ(config->linux().cgroup_driver(), isolation.systemd ? v1::SYSTEMD : v1::CGROUPFS);
}

TEST_F(Status, EmptyRuntimeConfigUpdateIsAccepted) {
  EXPECT_CALL_OK(cri().Call(&Runtime::UpdateRuntimeConfig, v1::UpdateRuntimeConfigRequest()));
}

TEST_F(Status, VerboseInfoHasThePidOfAContainer) {
  Made made = RunContainer({"sleep", "1000"});
  v1::ContainerStatusRequest request;
  request.set_container_id(made.container);
  request.set_verbose(true);
  auto status = cri().Call(&Runtime::ContainerStatus, request);
  ASSERT_CALL_OK(status);
  ASSERT_TRUE(status->info().contains("info"));
  EXPECT_THAT(status->info().at("info"), testing::HasSubstr("\"pid\""));
  EXPECT_THAT(status->info().at("info"), testing::HasSubstr("\"runtimeSpec\""));
}

}  // namespace
}  // namespace berth::e2e
