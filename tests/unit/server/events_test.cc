// Events: which changes are told, in which order, and what becomes of listeners who do not keep up.
#include "server/events.h"

#include <condition_variable>
#include <mutex>

#include "server/event_reply.h"
#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

using Type = cri::ContainerEventType;
constexpr Type kCreated = cri::CONTAINER_CREATED_EVENT;
constexpr Type kStarted = cri::CONTAINER_STARTED_EVENT;
constexpr Type kStopped = cri::CONTAINER_STOPPED_EVENT;
constexpr Type kDeleted = cri::CONTAINER_DELETED_EVENT;

// Takes what a listener gets, until there are `count`.
std::vector<Event> Take(Events::Listener& listener, size_t count) {
  std::vector<Event> out;
  EXPECT_TRUE(Eventually([&] {
    while (out.size() < count) {
      const auto next = listener.Take();
      if (!next || !*next) break;
      out.push_back(*next);
    }
    return out.size() == count;
  })) << out.size()
      << " of " << count;
  return out;
}

std::vector<Type> TypesOf(const std::vector<Event>& events, const std::string& id) {
  std::vector<Type> out;
  for (const Event& event : events) {
    if (event->container_id() == id) out.push_back(event->container_event_type());
  }
  return out;
}

class NodeEvents : public Node {};

TEST_F(NodeEvents, EveryChangeOfAPodAndItsContainersIsToldOnceInOrder) {
  const auto listener = events().Listen([] {});
  const std::string pod = RunPod("web");
  const std::string id = CreateStarted(pod, "app");
  ASSERT_OK(services().containers.Stop(id, std::chrono::nanoseconds(0), Bounded()));
  ASSERT_OK(services().containers.Remove(id, Bounded()));
  ASSERT_OK(services().sandboxes.Remove(pod, Bounded()));
  const auto all = Take(*listener, 8);
  EXPECT_EQ(TypesOf(all, pod), (std::vector<Type>{kCreated, kStarted, kStopped, kDeleted}));
  EXPECT_EQ(TypesOf(all, id), (std::vector<Type>{kCreated, kStarted, kStopped, kDeleted}));
  int64_t last = 0;
  for (const Event& event : all) {
    EXPECT_GE(event->created_at(), last);
    last = event->created_at();
    EXPECT_EQ(event->pod_sandbox_status().metadata().name(), "web") << "the kubelet drops an event without";
    if (event->container_id() != id) continue;
    const bool gone = event->container_event_type() == kDeleted;
    EXPECT_LE(event->containers_statuses_size(), gone ? 0 : 1);
  }
}

// The state in the message is never older than what is announced.
TEST_F(NodeEvents, StatusesAreThoseOfTheEventOrLater) {
  const std::string pod = RunPod("web");
  const auto listener = events().Listen([] {});
  const std::string id = CreateStarted(pod, "app");
  const auto all = Take(*listener, 2);
  ASSERT_EQ(all[1]->containers_statuses_size(), 1);
  EXPECT_EQ(all[1]->containers_statuses(0).id(), id);
  EXPECT_EQ(all[1]->containers_statuses(0).state(), cri::CONTAINER_RUNNING);
  EXPECT_GT(all[1]->containers_statuses(0).started_at(), 0);
}

TEST_F(NodeEvents, WhatEndsAtOnceWasStartedAllTheSame) {
  Run("exit 3");
  const std::string pod = RunPod("web");
  const auto listener = events().Listen([] {});
  const std::string id = Create(pod, "app");
  Start(id);
  ASSERT_TRUE(Exits(id));
  const auto all = Take(*listener, 3);
  EXPECT_EQ(TypesOf(all, id), (std::vector<Type>{kCreated, kStarted, kStopped}));
  EXPECT_EQ(all[2]->containers_statuses(0).exit_code(), 3);
  EXPECT_LE(all[2]->containers_statuses(0).started_at(), all[2]->containers_statuses(0).finished_at());
}

TEST_F(NodeEvents, WhatCannotBeStartedStopsWithoutAStart) {
  const std::string pod = RunPod("web");
  const auto listener = events().Listen([] {});
  const std::string id = Create(pod, "app");
  runtime_->Fail("start", base::Error{.code = base::Code::kUnknown, .message = "no such program"});
  EXPECT_FALSE(services().containers.Start(id, Bounded()));
  const auto all = Take(*listener, 2);
  EXPECT_EQ(TypesOf(all, id), (std::vector<Type>{kCreated, kStopped}));
  EXPECT_EQ(all[1]->containers_statuses(0).reason(), "StartError");
}

// Without stores: changes by hand.
class Queue : public testing::Test {
 protected:
  ContainerPtr Container(container::State state, int64_t started_at) {
    container::Container out;
    out.id = "c";
    out.sandbox_id = "p";
    out.state = state;
    out.started_at = started_at;
    return std::make_shared<const container::Container>(std::move(out));
  }
  SandboxPtr Pod() {
    sandbox::Sandbox out;
    out.id = "p";
    return std::make_shared<const sandbox::Sandbox>(std::move(out));
  }
  Events Make(size_t pending, size_t queue) {
    return Events({.describe =
                       [this](const Change& change, cri::ContainerEventResponse& out) {
                         std::unique_lock lock(mutex_);
                         released_.wait(lock, [&] { return !held_; });
                         out.set_container_id(change.id);
                         out.set_container_event_type(change.type);
                         out.set_created_at(change.time);
                         if (change.sandbox) out.mutable_pod_sandbox_status()->set_id(change.sandbox->id);
                       },
                   .executor = &executor_,
                   .pending = pending,
                   .queue = queue});
  }
  void Hold(bool held) {
    std::lock_guard lock(mutex_);
    held_ = held;
    released_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  base::Executor executor_{{.name = "events", .threads = 4}};
};

TEST_F(Queue, OneChangeThatIsSeveralIsToldInOrder) {
  Events events = Make(10, 10);
  const auto listener = events.Listen([] {});
  events.OnContainer(Container(container::State::kCreated, 0), Container(container::State::kExited, 5));
  EXPECT_EQ(TypesOf(Take(*listener, 2), "c"), (std::vector<Type>{kStarted, kStopped}));
  events.OnContainer(Container(container::State::kExited, 5), Container(container::State::kExited, 5));
  events.OnContainer(Container(container::State::kExited, 5), nullptr);
  EXPECT_EQ(TypesOf(Take(*listener, 1), "c"), std::vector<Type>{kDeleted});
  EXPECT_TRUE(Eventually([&] { return !*listener->Take(); }));
}

TEST_F(Queue, PodThatHasGoneIsToldAsItWasLast) {
  Events events = Make(10, 10);
  const auto listener = events.Listen([] {});
  Hold(true);
  events.OnContainer(nullptr, Container(container::State::kCreated, 0));
  events.OnContainer(Container(container::State::kExited, 5), nullptr);
  events.OnSandbox(Pod(), nullptr);
  Hold(false);
  const auto all = Take(*listener, 3);
  EXPECT_EQ(all[1]->pod_sandbox_status().id(), "p");
  EXPECT_EQ(all[2]->pod_sandbox_status().id(), "p");
}

TEST_F(Queue, SlowListenerLosesItsPlaceAndNobodyElseAnything) {
  Events events = Make(100, 3);
  const auto slow = events.Listen([] {});
  const auto quick = events.Listen([] {});
  for (int i = 0; i < 5; ++i) {
    events.OnContainer(nullptr, Container(container::State::kCreated, 0));
    Take(*quick, 1);
  }
  Take(*slow, 3);
  EXPECT_TRUE(Eventually([&] { return CodeOf(slow->Take()) == "RESOURCE_EXHAUSTED"; }));
  EXPECT_EQ(CodeOf(slow->Take()), "RESOURCE_EXHAUSTED") << "for good";
  EXPECT_EQ(CodeOf(quick->Take()), "OK");
}

TEST_F(Queue, ListenersQueueIsBoundedInBytesToo) {
  Events events({.describe = [](const Change&,
                                cri::ContainerEventResponse& out) { out.set_container_id(std::string(1000, 'x')); },
                 .executor = &executor_,
                 .queue_bytes = 2500});
  const auto listener = events.Listen([] {});
  const auto one = [&] { events.OnContainer(nullptr, Container(container::State::kCreated, 0)); };
  for (int i = 0; i < 3; ++i) one();
  Take(*listener, 2);
  EXPECT_TRUE(Eventually([&] { return CodeOf(listener->Take()) == "RESOURCE_EXHAUSTED"; }));
  Events tiny({.describe = [](const Change&,
                              cri::ContainerEventResponse& out) { out.set_container_id(std::string(1000, 'x')); },
               .executor = &executor_,
               .queue_bytes = 10});
  const auto patient = tiny.Listen([] {});
  for (int i = 0; i < 3; ++i) {
    tiny.OnContainer(nullptr, Container(container::State::kCreated, 0));
    EXPECT_EQ(Take(*patient, 1).size(), 1u) << "one alone always fits";
  }
}

TEST_F(Queue, MoreAtOnceThanCanBeToldIsSaid) {
  Events events = Make(5, 100);
  const auto listener = events.Listen([] {});
  Hold(true);
  for (int i = 0; i < 50; ++i) events.OnContainer(nullptr, Container(container::State::kCreated, 0));
  Hold(false);
  EXPECT_TRUE(Eventually([&] { return CodeOf(listener->Take()) == "RESOURCE_EXHAUSTED"; }));
  // While what waited is still being told there is no room for more: a listener of that moment is told so too.
  EXPECT_TRUE(Eventually([&] {
    const auto anew = events.Listen([] {});
    events.OnContainer(nullptr, Container(container::State::kCreated, 0));
    bool came = false;
    EXPECT_TRUE(Eventually([&] {
      const auto next = anew->Take();
      came = next && *next;
      return came || !next;
    }));
    return came;
  }));
}

TEST_F(Queue, ListenersAreToldOfTheEndAndForgottenWhenTheyLeave) {
  Events events = Make(5, 5);
  std::atomic<int> wakes = 0;
  auto listener = events.Listen([&] { ++wakes; });
  auto other = events.Listen([] {});
  EXPECT_EQ(events.listeners(), 2u);
  other.reset();
  EXPECT_EQ(events.listeners(), 1u);
  events.End();
  EXPECT_EQ(wakes, 1);
  EXPECT_EQ(CodeOf(listener->Take()), "UNAVAILABLE");
  EXPECT_EQ(CodeOf(events.Listen([] {})->Take()), "UNAVAILABLE");
  events.OnContainer(nullptr, Container(container::State::kCreated, 0));
  EXPECT_EQ(CodeOf(listener->Take()), "UNAVAILABLE");
}

}  // namespace
}  // namespace berth::server
