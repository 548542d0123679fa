// Plugins of a daemon that was killed go on without it. What they still do must not mix with what the next daemon
// undoes: a DEL beside an ADD that has not ended finds half of what there will be, and the next one finds no interface
// to ask about the rest.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace berth::network {

// Thread-safe.
class FormerPlugins {
 public:
  struct Options {
    base::Path file;                             // locked by every plugin; made when it is missing
    std::chrono::milliseconds patience{10'000};  // since the first Wait; then those that still run are killed
    std::chrono::milliseconds death{2'000};      // and then no longer waited for
  };
  static base::Result<std::unique_ptr<FormerPlugins>> Open(Options options);

  // For plugins to inherit: what holds it, or was started by one that does, is waited for by the next daemon.
  int fd() const { return lock_.get(); }

  // Returns when none runs any more. Costs one load when that is known. Errors are the context's.
  base::Status Wait(const base::Context& context);

 private:
  FormerPlugins(Options options, base::UniqueFd lock) : options_(std::move(options)), lock_(std::move(lock)) {}
  void Look();
  void KillHolders() const;

  const Options options_;
  const base::UniqueFd lock_;
  std::mutex looking_;
  base::TimePoint first_look_{};
  std::atomic<bool> gone_ = false;
};

}  // namespace berth::network
