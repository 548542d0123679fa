#include "server/reply_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::server {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ReplySize, OneThatFitsIsSent) {
  EXPECT_TRUE(FitsMessage("ListPodSandboxMetrics", 100, 100));
}

TEST(ReplySize, TooLargeAListNamesItsStream) {
  const base::Status metrics = FitsMessage("ListPodSandboxMetrics", 101, 100);
  ASSERT_FALSE(metrics);
  EXPECT_EQ(metrics.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(metrics.error().Text(), HasSubstr("101 bytes"));
  EXPECT_THAT(metrics.error().Text(), HasSubstr("StreamPodSandboxMetrics"));
  EXPECT_THAT(FitsMessage("ListPodSandbox", 101, 100).error().Text(), HasSubstr("StreamPodSandboxes"));
  EXPECT_THAT(FitsMessage("ContainerStatus", 101, 100).error().Text(), Not(HasSubstr("Stream")));
}

}  // namespace
}  // namespace berth::server
