#include "container/exec_group.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/context.h"
#include "base/strings.h"

namespace berth::container {
namespace {

constexpr std::string_view kPrefix = "berth-exec-";
// From SIGKILL to the end; what is stuck in the kernel for longer goes with the container.
constexpr auto kEndTime = std::chrono::seconds(5);

// Gone. One with processes, or with groups that were made in it from within the container, is not.
bool Removed(const base::Path& folder) {
  return rmdir(folder.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

void SweepExecGroups(ExecLeftovers& left) {
  left.With([](std::vector<base::Path>& folders) {
    std::erase_if(folders, [](const base::Path& folder) { return Removed(folder); });
  });
}

std::vector<base::Path> FindExecGroups(const kernel::CgroupTree& cgroups, const base::Path& container) {
  std::vector<base::Path> out;
  const base::Path folder = cgroups.Folders(container).front();
  const auto names = base::ListFolder(folder);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    if (name.starts_with(kPrefix)) out.push_back(folder / name);
  }
  return out;
}

ExecGroup ExecGroup::Make(const kernel::CgroupTree& cgroups, const base::Path& container, ExecLeftovers& left) {
  SweepExecGroups(left);
  ExecGroup made(cgroups, container / base::Cat(kPrefix, base::RandomId().substr(0, 16)), left);
  if (mkdir(made.folder().c_str(), 0755) != 0) made.cgroups_ = nullptr;
  return made;
}

ExecGroup::~ExecGroup() {
  if (cgroups_ == nullptr || Removed(folder())) return;
  left_->With([this](std::vector<base::Path>& folders) { folders.push_back(folder()); });
}

void ExecGroup::Kill() const {
  if (cgroups_ != nullptr) (void)cgroups_->Kill(group_);
}

void ExecGroup::End() const {
  if (cgroups_ == nullptr) return;
  Kill();
  (void)cgroups_->WaitEmpty(group_, base::Context().WithTimeout(kEndTime));
  (void)cgroups_->Remove(group_);
}

}  // namespace berth::container
