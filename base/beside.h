// One piece of work that runs beside something that waits anyway: an fsync beside a plugin.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/executor.h"
#include "base/result.h"

namespace berth::base {

// Starts at once on the executor, or runs in the constructor when that is full. `work` must own what it uses.
class Beside {
 public:
  Beside(Executor& executor, std::function<Status()> work) : shared_(std::make_shared<Shared>()) {
    const auto run = [shared = shared_, work = std::move(work)] {
      Status status = work();
      const std::lock_guard lock(shared->mutex);
      shared->result = std::move(status);
      shared->done.notify_all();
    };
    if (!executor.Submit(run)) run();
  }

  // Waits for its end. What it does (a write to our own disk) has no deadline; neither has this.
  Status Join() {
    std::unique_lock lock(shared_->mutex);
    shared_->done.wait(lock, [&] { return shared_->result.has_value(); });
    return *shared_->result;
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable done;
    std::optional<Status> result;
  };
  std::shared_ptr<Shared> shared_;
};

}  // namespace berth::base
