#include "cli/find.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

Objects Example() {
  Objects out;
  const auto pod = [&](const char* id, const char* name) {
    auto* item = out.pods.add_items();
    item->set_id(id);
    item->mutable_metadata()->set_name(name);
    item->mutable_metadata()->set_namespace_("default");
  };
  const auto container = [&](const char* id, const char* name, const char* pod_id, int64_t created) {
    auto* item = out.containers.add_containers();
    item->set_id(id);
    item->mutable_metadata()->set_name(name);
    item->set_pod_sandbox_id(pod_id);
    item->set_created_at(created);
  };
  pod("aa11", "web");
  pod("aa22", "db");
  pod("bb33", "empty");
  container("cc11", "web", "aa11", 1);
  container("cc22", "main", "aa22", 1);
  container("cc33", "main", "aa22", 2);
  return out;
}

TEST(FindPod, ByNameIdAndUniqueBeginning) {
  const Objects objects = Example();
  for (const char* text : {"web", "default/web", "aa11", "aa1"}) {
    const auto pod = FindPod(objects, text);
    ASSERT_TRUE(pod) << text;
    EXPECT_EQ(pod->id(), "aa11") << text;
  }
}

TEST(FindPod, AmbiguousBeginningIsNoGuess) {
  const auto pod = FindPod(Example(), "aa");
  ASSERT_FALSE(pod);
  EXPECT_EQ(pod.error().code, base::Code::kInvalidArgument);
  EXPECT_NE(pod.error().message.find("default/db"), std::string::npos) << pod.error().message;
}

TEST(FindPod, UnknownAndEmptyNamesAreNotFound) {
  EXPECT_EQ(FindPod(Example(), "nope").error().code, base::Code::kNotFound);
  EXPECT_EQ(FindPod(Example(), "").error().code, base::Code::kNotFound);
}

TEST(FindContainer, NewestAttemptIsMeant) {
  EXPECT_EQ(FindContainer(Example(), "main")->id(), "cc33");
}

TEST(FindContainer, PodWithOneContainerStandsForIt) {
  EXPECT_EQ(FindContainer(Example(), "db")->id(), "cc33");
}

TEST(FindContainer, PodWithoutContainerIsSaid) {
  EXPECT_EQ(FindContainer(Example(), "empty").error().message, "the pod \"empty\" has no container");
}

TEST(FindContainer, SameNameInTwoPodsIsAmbiguous) {
  Objects objects = Example();
  auto* item = objects.containers.add_containers();
  item->set_id("dd44");
  item->mutable_metadata()->set_name("main");
  item->set_pod_sandbox_id("aa11");
  EXPECT_EQ(FindContainer(objects, "main").error().code, base::Code::kInvalidArgument);
}

TEST(FindPodOrContainer, SharedNameMeansThePod) {
  const auto found = FindPodOrContainer(Example(), "web");
  ASSERT_TRUE(found);
  EXPECT_TRUE(std::holds_alternative<cri::PodSandbox>(*found));
}

TEST(FindPodOrContainer, NameOfAPodAndOfAnotherPodsContainerIsAmbiguous) {
  Objects objects = Example();
  objects.containers.mutable_containers(0)->set_pod_sandbox_id("aa22");
  EXPECT_EQ(FindPodOrContainer(objects, "web").error().code, base::Code::kInvalidArgument);
}

TEST(FindPodOrContainer, ContainerAloneIsFound) {
  const auto found = FindPodOrContainer(Example(), "cc1");
  ASSERT_TRUE(found);
  EXPECT_EQ(std::get<cri::Container>(*found).id(), "cc11");
}

}  // namespace
}  // namespace berth::cli
