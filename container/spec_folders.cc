#include "container/spec_folders.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"

namespace berth::container {
namespace {
constexpr size_t kMaxFiles = 1000;
}  // namespace

base::Result<std::vector<SpecFile>> ListSpecFiles(const std::vector<base::Path>& folders,
                                                  const std::vector<std::string>& endings) {
  std::vector<SpecFile> out;
  for (size_t index = 0; index < folders.size(); ++index) {
    auto names = base::ListFolder(folders[index]);
    if (!names && (names.error().err == ENOENT || names.error().err == ENOTDIR)) continue;
    if (!names) return tl::make_unexpected(std::move(names).error());
    std::erase_if(*names, [&](const std::string& name) {
      return name.starts_with('.') || std::none_of(endings.begin(), endings.end(),
                                                   [&](const std::string& ending) { return name.ends_with(ending); });
    });
    if (names->size() > kMaxFiles)
      return base::Fail(base::Code::kResourceExhausted, folders[index].native(), ": more than ", kMaxFiles, " files");
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      const base::Path path = folders[index] / name;
      struct stat info {};
      // Gone meanwhile, unless it is a link that leads nowhere.
      if (stat(path.c_str(), &info) != 0 && lstat(path.c_str(), &info) != 0) continue;
      std::string signature;
      if (S_ISREG(info.st_mode)) {
        signature = base::Cat(info.st_dev, ".", info.st_ino, ".", info.st_size, ".", info.st_mtim.tv_sec, ".",
                              info.st_mtim.tv_nsec, ".", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec);
      }
      out.push_back({.path = path, .folder = index, .signature = std::move(signature)});
    }
  }
  return out;
}

}  // namespace berth::container
