// Runs berth-helper and keeps the books of those that had to be given up.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/child.h"
#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/foreign_path.h"

namespace berth::kernel::internal {

// Thread-safe.
class HelperPool {
 public:
  explicit HelperPool(ForeignPaths::Options options) : options_(std::move(options)) {}

  // One run of the helper; what it wrote. `place` is what it may hang on: each place has a share of the cap.
  base::Result<std::string> Run(std::vector<std::string> arguments, const std::string& place,
                                const base::Context& context) {
    return Run(std::move(arguments), place, context, options_.deadline);
  }
  // With another limit than the options', within the context's too.
  base::Result<std::string> Run(std::vector<std::string> arguments, const std::string& place,
                                const base::Context& context, std::chrono::nanoseconds limit);

  size_t Stuck();
  uint64_t Abandoned();

 private:
  struct Lost {
    pid_t pid;
    base::UniqueFd pidfd;
    std::string place;
  };
  struct Book {
    std::map<std::string, size_t> busy;  // running and stuck, by place
    size_t total = 0;
    std::vector<Lost> lost;
    uint64_t abandoned = 0;
  };
  class Slot;

  static void Reap(Book& book);
  static void Leave(Book& book, const std::string& place);
  base::Status Enter(const std::string& place);
  base::Result<std::string> Listen(base::Child& child, int output, const base::Context& context) const;
  // Kills it; true when it is gone and reaped, false when it is stuck and now in the book.
  bool Discard(base::Child child, const std::string& place);

  const ForeignPaths::Options options_;
  base::Guarded<Book> book_;
};

}  // namespace berth::kernel::internal
