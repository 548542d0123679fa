#include "kernel/cgroup_change.h"

#include "base/strings.h"

namespace berth::kernel {
namespace {

constexpr size_t kMaxFile = 1 << 16;

// Files with a line for each device take one line in each write.
base::Status PutBack(const base::Path& file, const std::string& old) {
  const std::string_view text = base::Trim(old);
  // An empty line resets a v2 cpuset to its parent's.
  if (text.empty()) return base::WriteKernelFile(file, "\n");
  for (const std::string_view line : base::Split(text, '\n')) RETURN_IF_ERROR(base::WriteKernelFile(file, line));
  return {};
}

}  // namespace

base::Status CgroupChange::Keep(const base::Path& file) {
  ASSIGN_OR_RETURN(std::string old, base::ReadFile(file, kMaxFile));
  return Add({.file = file, .old = std::move(old)});
}

base::Status CgroupChange::Write(const base::Path& file, std::string_view value) {
  ASSIGN_OR_RETURN(std::string old, base::ReadFile(file, kMaxFile));
  if (base::Trim(old) == value) return {};
  RETURN_IF_ERROR(Add({.file = file, .old = std::move(old)}));
  return base::WriteKernelFile(file, value);
}

base::Status CgroupChange::Add(Kept kept) {
  kept_.push_back(std::move(kept));
  return noted_ ? noted_(kept_) : base::Status();
}

std::string CgroupChange::Undo() {
  std::vector<std::string> problems;
  while (!kept_.empty()) {
    const Kept last = std::move(kept_.back());
    kept_.pop_back();
    const auto now = base::ReadFile(last.file, kMaxFile);
    if (now && *now == last.old) continue;
    if (base::Status back = PutBack(last.file, last.old); !back) problems.push_back(back.error().message);
  }
  return base::Join(problems, "; ");
}

}  // namespace berth::kernel
