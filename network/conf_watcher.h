// Notices changes of the CNI configuration and of the plugins, whatever happens to the folders.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::network {

// Watches the folders, every folder on the way to them (links followed), and the subfolders of `conf_dir`. A folder
// that is absent, removed, replaced or reached by another link is taken up when it appears. Not thread-safe: used by
// the event loop alone.
class ConfWatcher {
 public:
  struct Options {
    base::Path conf_dir;               // absolute
    std::vector<base::Path> bin_dirs;  // absolute
    std::function<void()> on_change;   // called by Process, once for a burst of changes; Network::Reload
    std::chrono::milliseconds debounce{100};
  };
  // Fails only when the kernel has no inotify instance or timer left for us.
  static base::Result<std::unique_ptr<ConfWatcher>> Make(Options options);

  // Readable when Process has something to do. For poll(2) or asio's stream_descriptor (wait_read); stays ours.
  int fd() const { return epoll_.get(); }
  // Takes what has happened; never blocks. Call whenever fd() is readable.
  void Process();

  // Why the last attempt to watch was incomplete (out of watches); it is repeated every few seconds until it succeeds.
  const base::Status& watching() const { return watching_; }

 private:
  struct Names {
    bool all = false;            // every change in the folder counts
    std::set<std::string> some;  // only those of these names do
  };

  explicit ConfWatcher(Options options) : options_(std::move(options)) {}
  void WatchAll();
  void WatchPath(const base::Path& path, bool subfolders);
  void WatchFolder(const base::Path& folder, const std::string& name);
  bool TakeEvents();
  void Arm(std::chrono::milliseconds delay);

  Options options_;
  base::UniqueFd inotify_;
  base::UniqueFd timer_;
  base::UniqueFd epoll_;
  std::map<int, Names> watches_;
  std::map<int, Names> next_;  // being built by WatchAll
  base::Status watching_;
  bool armed_ = false;
};

}  // namespace berth::network
