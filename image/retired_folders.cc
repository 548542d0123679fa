#include "image/retired_folders.h"

#include <stdio.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::image {

void RetiredFolders::TakeUp(std::vector<std::string> names) {
  for (std::string& name : names) users_.try_emplace(std::move(name));
}

std::string RetiredFolders::Add(std::string_view name, std::set<std::string> users) {
  std::string folder = base::Cat(name, ".", base::RandomId());
  users_.emplace(folder, std::move(users));
  return folder;
}

void RetiredFolders::Ref(const std::string& user, std::string_view name) {
  for (auto& [folder, users] : users_) {
    if (folder.starts_with(name)) users.insert(user);
  }
}

bool RetiredFolders::Unref(const std::string& user) {
  bool unused = false;
  for (auto& [folder, users] : users_) unused |= users.erase(user) > 0 && users.empty();
  return unused;
}

std::vector<std::string> RetiredFolders::TakeUnused() {
  std::vector<std::string> out;
  std::erase_if(users_, [&](const auto& entry) {
    if (entry.second.empty()) out.push_back(entry.first);
    return entry.second.empty();
  });
  return out;
}

base::Status MoveToRetired(const base::Path& from, const base::Path& retired, const std::string& name) {
  if (rename(from.c_str(), (retired / name).c_str()) == 0 || errno == ENOENT) return {};
  return base::FailErrno(errno, "rename ", from.native());
}

void RemoveRetired(const base::Path& retired, const std::vector<std::string>& names) {
  for (const std::string& name : names) (void)base::RemoveTree(retired / name);
}

}  // namespace berth::image
