// Lists: order, filters, and what a reader sees while others write.
#include <atomic>
#include <set>

#include "server/request_digest.h"
#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

class Lists : public Node {
 protected:
  std::vector<std::string> Pods(const cri::ListPodSandboxRequest& request = {}) {
    const auto reply = ListPodSandbox(services(), request, Bounded());
    std::vector<std::string> ids;
    for (const auto& item : reply.value().items()) ids.push_back(item.id());
    return ids;
  }
  std::vector<std::string> Containers(const cri::ListContainersRequest& request = {}) {
    const auto reply = ListContainers(services(), request, Bounded());
    std::vector<std::string> ids;
    for (const auto& item : reply.value().containers()) ids.push_back(item.id());
    return ids;
  }
  using Ids = std::vector<std::string>;
};

TEST_F(Lists, PodsAreFilteredByIdStateAndLabels) {
  const std::string old_pod = RunPod("old");
  const std::string new_pod = RunPod("new");
  ASSERT_OK(services().sandboxes.Stop(old_pod, Bounded()));
  EXPECT_EQ(Pods(), (Ids{new_pod, old_pod})) << "the youngest first";

  cri::ListPodSandboxRequest request;
  request.mutable_filter()->set_id(old_pod.substr(0, 12));
  EXPECT_EQ(Pods(request), Ids{old_pod}) << "a unique prefix";
  request.mutable_filter()->set_id("nowhere");
  EXPECT_EQ(Pods(request), Ids{});
  request.mutable_filter()->clear_id();
  request.mutable_filter()->mutable_state()->set_state(cri::SANDBOX_READY);
  EXPECT_EQ(Pods(request), Ids{new_pod});
  (*request.mutable_filter()->mutable_label_selector())["app"] = "old";
  EXPECT_EQ(Pods(request), Ids{}) << "all conditions must hold";
  request.mutable_filter()->mutable_state()->set_state(cri::SANDBOX_NOTREADY);
  EXPECT_EQ(Pods(request), Ids{old_pod});
  (*request.mutable_filter()->mutable_label_selector())["tier"] = "";
  EXPECT_EQ(Pods(request), Ids{}) << "a label that is not there is not an empty one";
}

TEST_F(Lists, ContainersAreFilteredByIdPodStateAndLabels) {
  const std::string pod = RunPod("one");
  const std::string other_pod = RunPod("two");
  const std::string first = CreateStarted(pod, "a");
  const std::string second = Create(pod, "b");
  const std::string third = Create(other_pod, "a");
  EXPECT_EQ(Containers(), (Ids{third, second, first}));

  cri::ListContainersRequest request;
  cri::ContainerFilter& filter = *request.mutable_filter();
  filter.set_pod_sandbox_id(pod.substr(0, 10));
  EXPECT_EQ(Containers(request), (Ids{second, first}));
  filter.mutable_state()->set_state(cri::CONTAINER_RUNNING);
  EXPECT_EQ(Containers(request), Ids{first});
  filter.mutable_state()->set_state(cri::CONTAINER_EXITED);
  EXPECT_EQ(Containers(request), Ids{});
  filter.clear_state();
  (*filter.mutable_label_selector())["name"] = "b";
  EXPECT_EQ(Containers(request), Ids{second});
  filter.set_id(first);
  EXPECT_EQ(Containers(request), Ids{}) << "all conditions must hold";
  filter.clear_label_selector();
  EXPECT_EQ(Containers(request), Ids{first});
  filter.set_pod_sandbox_id("nowhere");
  EXPECT_EQ(Containers(request), Ids{});
}

TEST_F(Lists, ItemsCarryWhatTheRequestSaid) {
  const std::string pod = RunPod("web");
  auto create = ContainerRequest(pod, "app");
  (*create.mutable_config()->mutable_annotations())["note"] = "kept";
  const std::string id = Create(create);
  const auto list = ListContainers(services(), {}, Bounded());
  ASSERT_EQ(list->containers_size(), 1);
  const cri::Container& item = list->containers(0);
  EXPECT_EQ(item.pod_sandbox_id(), pod);
  EXPECT_EQ(item.metadata().name(), "app");
  EXPECT_EQ(item.image().image(), "registry.example/app:1");
  EXPECT_EQ(item.annotations().at("note"), "kept");
  EXPECT_EQ(item.labels().at("name"), "app");
  EXPECT_EQ(item.state(), cri::CONTAINER_CREATED);
  EXPECT_GT(item.created_at(), 0);
  EXPECT_TRUE(item.image_ref().starts_with("registry.example/app@sha256:")) << item.image_ref();
  EXPECT_TRUE(item.image_id().starts_with("sha256:")) << item.image_id();
}

// A list shows whole objects only: one that is being made or removed is there with everything, or not at all.
TEST_F(Lists, ReadersSeeWholeObjectsWhileOthersWrite) {
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        const auto pods = ListPodSandbox(services(), {}, Bounded());
        for (const auto& item : pods->items()) {
          EXPECT_EQ(item.id().size(), 64u);
          EXPECT_EQ(item.metadata().namespace_(), "shop");
          EXPECT_EQ(item.labels().at("app"), item.metadata().name());
        }
        const auto containers = ListContainers(services(), {}, Bounded());
        for (const auto& item : containers->containers()) {
          EXPECT_EQ(item.labels().at("name"), item.metadata().name());
          EXPECT_FALSE(item.image_ref().empty());
        }
      }
    });
  }
  std::vector<std::thread> writers;
  for (int i = 0; i < 2; ++i) {
    writers.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        const std::string pod = RunPod(base::Cat("pod", i, "-", round));
        CreateStarted(pod, "a");
        EXPECT_OK(services().sandboxes.Remove(pod, Bounded()));
      }
    });
  }
  for (std::thread& thread : writers) thread.join();
  done = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(Pods(), Ids{});
}

TEST(RequestDigest, DoesNotDependOnTheOrderOfMaps) {
  cri::PodSandboxConfig first;
  cri::PodSandboxConfig second;
  for (int i = 0; i < 50; ++i) (*first.mutable_labels())[base::Cat("k", i)] = "v";
  for (int i = 49; i >= 0; --i) (*second.mutable_labels())[base::Cat("k", i)] = "v";
  EXPECT_EQ(RequestDigest(first), RequestDigest(second));
  (*second.mutable_labels())["k7"] = "w";
  EXPECT_NE(RequestDigest(first), RequestDigest(second));
}

}  // namespace
}  // namespace berth::server
