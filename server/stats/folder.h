// One folder of a cgroup hierarchy, through a descriptor of it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/unique_fd.h"

namespace berth::stats {

// Thread-safe. Opening a cgroup's file costs the kernel seven times what reading it does, so those that are read for
// every container every few seconds stay open once they were; each costs the kernel a page of memory.
class Folder {
 public:
  Folder() = default;
  Folder(const base::Path& path, const std::vector<const char*>& kept);

  bool valid() const { return fd_.valid(); }
  // The file as it is now, in `buffer`, which is used again and again; absent when it is not there or cannot be read.
  std::optional<std::string_view> Read(std::string_view name, std::string& buffer) const;
  std::optional<uint64_t> ReadNumber(std::string_view name, std::string& buffer) const;

 private:
  struct Kept {
    const char* name = nullptr;
    std::once_flag opened{};
    base::UniqueFd fd{};
  };

  base::UniqueFd fd_;
  std::unique_ptr<Kept[]> kept_;
  size_t count_ = 0;
};

}  // namespace berth::stats
