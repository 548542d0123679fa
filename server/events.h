// What GetContainerEvents tells: every change of a pod or a container, once and in order, to everybody who listens at
// that time. Nothing of the past is kept.
//
//   store lock: Note ──> changes ──> one at a time describes each ──> a queue for each listener ──> its stream
//
// Both queues are bounded. A listener who does not keep up loses his place, never the others' time.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "container/container.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "sandbox/sandbox.h"

namespace berth::server {

using ContainerPtr = std::shared_ptr<const container::Container>;
using SandboxPtr = std::shared_ptr<const sandbox::Sandbox>;
using Event = std::shared_ptr<const cri::ContainerEventResponse>;

struct Change {
  cri::ContainerEventType type = cri::CONTAINER_CREATED_EVENT;
  std::string id;  // the container's or the pod's
  std::string sandbox_id;
  int64_t time = 0;      // Unix nanoseconds, never running backwards
  SandboxPtr sandbox{};  // as it was when it was removed; null while it is there
};

// Thread-safe. Destroyed after all listeners.
class Events {
 public:
  struct Options {
    // Makes the message of a change, from the objects as they are by then. Runs on the executor, one at a time.
    std::function<void(const Change&, cri::ContainerEventResponse&)> describe;
    base::Executor* executor = nullptr;  // given no work once End was called
    size_t pending = 10'000;             // changes that wait to be described
    size_t queue = 1'000;                // events that wait for one listener, and
    size_t queue_bytes = 16 << 20;       // their size: each has a pod's annotations in it
  };

  class Listener {
   public:
    // The next event; null when there is none now. kResourceExhausted once events were lost, kUnavailable once the
    // daemon ends; both for good.
    base::Result<Event> Take();

   private:
    friend class Events;
    struct State {
      std::deque<Event> queue{};
      size_t bytes = 0;
      std::shared_ptr<const base::Error> ended{};
    };
    explicit Listener(std::function<void()> wake) : wake_(std::move(wake)) {}
    void End(base::Error error);

    const std::function<void()> wake_;
    base::Guarded<State> state_;
  };

  explicit Events(Options options) : options_(std::move(options)) {}

  // From the stores, under their locks: null before an object is there and after it has gone. It only puts into a
  // queue.
  void OnContainer(const ContainerPtr& before, const ContainerPtr& after);
  void OnSandbox(const SandboxPtr& before, const SandboxPtr& after);

  // `wake` is called, on any thread and without a lock, whenever Take may have something new. A listener is there until
  // the last owner of the pointer lets go of it.
  std::shared_ptr<Listener> Listen(std::function<void()> wake);
  size_t listeners();

  // For the daemon's end: every listener is told.
  void End();

 private:
  struct State {
    std::deque<Change> changes{};
    bool running = false;  // somebody describes
    int64_t last = 0;      // time of the newest change
    std::vector<std::weak_ptr<Listener>> listeners{};
    bool ended = false;
  };
  void Note(cri::ContainerEventType type, const std::string& id, const std::string& sandbox_id, SandboxPtr gone = {});
  void DescribeAll();
  std::vector<std::shared_ptr<Listener>> Living();

  const Options options_;
  base::Guarded<State> state_;
};

}  // namespace berth::server
