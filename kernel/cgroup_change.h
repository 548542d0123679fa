// Writes to files of a cgroup of which all or none shall stand.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::kernel {

// Not thread-safe; nobody else should change the same files meanwhile. What was written stands unless Undo is called.
class CgroupChange {
 public:
  struct Kept {
    base::Path file;
    std::string old;
  };
  // Told of all that is kept, before what was kept last changes; its error stops the change.
  using Noted = std::function<base::Status(const std::vector<Kept>&)>;
  explicit CgroupChange(Noted noted = nullptr, std::vector<Kept> kept = {})
      : noted_(std::move(noted)), kept_(std::move(kept)) {}

  // Remembers what the file says, for a change that somebody else is about to make.
  base::Status Keep(const base::Path& file);
  // Keep, then one write. A file that says so already is left alone.
  base::Status Write(const base::Path& file, std::string_view value);
  // Puts back, last first, what Keep remembered: so each step is allowed, as it was on the way. Returns what could not
  // be put back, in words; empty when all could.
  std::string Undo();

 private:
  base::Status Add(Kept kept);
  Noted noted_;
  std::vector<Kept> kept_;
};

}  // namespace berth::kernel
