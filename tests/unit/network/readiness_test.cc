#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/network/network_fixture.h"

namespace berth::network {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using ReadinessTest = NetworkTest;

TEST_F(ReadinessTest, NoConfigurationIsNotReadyInCriOsWords) {
  ASSERT_TRUE(base::RemoveTree(folder_.path() / "net.d"));
  const auto status = Net().Status({});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnavailable);
  EXPECT_EQ(status.error().Text(), base::Cat("no CNI configuration file in ", (folder_.path() / "net.d").native(),
                                             ". Has your network provider started?"));
}

TEST_F(ReadinessTest, VersionIsAskedOnceForEachBinary) {
  status_age_ = std::chrono::milliseconds(0);
  EXPECT_TRUE(Net().Status({}));
  Net().Reload();
  EXPECT_TRUE(Net().Status({}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("VERSION first"));  // both are the same binary here
}

TEST_F(ReadinessTest, ReplacedBinaryIsAskedAgain) {
  status_age_ = std::chrono::milliseconds(0);
  calls_->binary = folder_.path() / "plugin";
  Write(calls_->binary, "1");
  EXPECT_TRUE(Net().Status({}));
  Write(calls_->binary, "22");
  EXPECT_TRUE(Net().Status({}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("VERSION first", "VERSION first"));
}

TEST_F(ReadinessTest, MissingBinaryIsNotReady) {
  calls_->missing = {"second"};
  const auto status = Net().Status({});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().Text(), HasSubstr("plugin second not found in"));
  calls_->missing.clear();
  Net().Reload();
  EXPECT_TRUE(Net().Status({}));
}

TEST_F(ReadinessTest, UnsupportedVersionIsNotReady) {
  calls_->Answers("first VERSION", R"({"cniVersion":"1.1.0","supportedVersions":["0.3.1","0.4.0"]})");
  const auto status = Net().Status({});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().Text(), HasSubstr("plugin first does not support CNI version 1.0.0, only 0.3.1, 0.4.0"));
}

TEST_F(ReadinessTest, FailingVersionIsNotReadyAndAskedAgain) {
  status_age_ = std::chrono::milliseconds(0);
  calls_->Fails("first VERSION", "broken");
  EXPECT_FALSE(Net().Status({}));
  calls_->answers.erase("first VERSION");
  EXPECT_TRUE(Net().Status({}));
}

TEST_F(ReadinessTest, StatusIsAskedOfEachPluginAndKept) {
  Configure("1.1.0");
  EXPECT_TRUE(Net().Status({}));
  EXPECT_TRUE(Net().Status({}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("VERSION first", "STATUS first", "STATUS second"));
  EXPECT_FALSE(calls_->At(1).variables.contains("CNI_NETNS"));
}

TEST_F(ReadinessTest, FailedStatusIsNotReady) {
  Configure("1.1.0");
  calls_->Fails("second STATUS", "plugin second failed (STATUS): the pool is empty", 50);
  for (int i = 0; i < 2; ++i) {
    const auto status = Net().Status({});
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().Text(), HasSubstr("the pool is empty"));
  }
}

TEST_F(ReadinessTest, OldStatusIsAskedAgain) {
  status_age_ = std::chrono::milliseconds(0);
  Configure("1.1.0");
  calls_->Fails("first STATUS", "no");
  EXPECT_FALSE(Net().Status({}));
  calls_->answers.erase("first STATUS");
  EXPECT_TRUE(Net().Status({}));
}

TEST_F(ReadinessTest, CallersDoNotWaitForAnAskedPlugin) {
  Configure("1.1.0");
  base::Status inner;
  calls_->answers["first STATUS"] = [&](const FakeCalls::Call&) {
    inner = Net().Status({});
    return FakeCalls::Answer{};
  };
  EXPECT_TRUE(Net().Status({}));
  ASSERT_FALSE(inner);
  EXPECT_THAT(inner.error().Text(), HasSubstr("have not answered yet"));
}

TEST_F(ReadinessTest, LastAnswerHoldsWhileOnlyBinariesChanged) {
  Configure("1.1.0");
  ASSERT_TRUE(Net().Status({}));
  Net().Reload();
  base::Status inner = base::Fail(Code::kInternal, "not called");
  calls_->answers["first STATUS"] = [&](const FakeCalls::Call&) {
    inner = Net().Status({});
    return FakeCalls::Answer{};
  };
  EXPECT_TRUE(Net().Status({}));
  EXPECT_TRUE(inner);
}

TEST_F(ReadinessTest, AskerThatLeavesLeavesNoAnswer) {
  Configure("1.1.0");
  const base::Context context = base::Context::Make("call");
  calls_->answers["first VERSION"] = [&](const FakeCalls::Call&) {
    context.Cancel();
    return FakeCalls::Answer{};
  };
  EXPECT_FALSE(Net().Status(context));
  EXPECT_TRUE(Net().Status({}));
}

}  // namespace
}  // namespace berth::network
