#include "network/config_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace berth::network {
namespace {

constexpr size_t kFileLimit = 256;

bool IsConfigName(std::string_view name) {
  constexpr std::array<std::string_view, 3> kExtensions = {".conf", ".conflist", ".json"};
  return std::ranges::any_of(kExtensions, [&](std::string_view extension) { return name.ends_with(extension); });
}

// Nothing for what is no regular file. Opened without blocking: the folder belongs to others, who may put a FIFO there.
base::Result<std::optional<std::string>> ReadRegular(const base::Path& file) {
  ASSIGN_OR_RETURN(const base::UniqueFd fd, base::Open(file, O_RDONLY | O_NONBLOCK));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return base::FailErrno(errno, "stat ", file.native());
  if (!S_ISREG(status.st_mode)) return std::optional<std::string>();
  ASSIGN_OR_RETURN(std::string text, base::ReadAll(fd.get(), kConfigLimit, file.native()));
  return std::optional<std::string>(std::move(text));
}

std::string NoneFound(const base::Path& folder, const std::string& default_network,
                      const std::vector<SkippedFile>& skipped) {
  std::string text = default_network.empty() ? base::Cat("no CNI configuration file in ", folder.native(),
                                                         ". Has your network provider started?")
                                             : base::Cat("no CNI network ", default_network, " in ", folder.native(),
                                                         ". Has your network provider started?");
  constexpr size_t kNamed = 3;
  for (size_t i = 0; i < std::min(skipped.size(), kNamed); ++i)
    text += base::Cat(" Not usable: ", skipped[i].reason, ".");
  if (skipped.size() > kNamed) text += base::Cat(" And ", skipped.size() - kNamed, " more.");
  return text;
}

}  // namespace

LoadedConfig LoadConfigFolder(const base::Path& folder, const std::string& default_network) {
  LoadedConfig loaded;
  auto names = base::ListFolder(folder);
  if (!names) {
    loaded.reason = names.error().err == ENOENT ? NoneFound(folder, default_network, {}) : names.error().Text();
    return loaded;
  }
  std::erase_if(*names, [](const std::string& name) { return !IsConfigName(name); });
  std::ranges::sort(*names);
  if (names->size() > kFileLimit) names->resize(kFileLimit);
  for (const std::string& name : *names) {
    const base::Path file = folder / name;
    const auto text = ReadRegular(file);
    if (text && !*text) continue;  // a folder, a socket
    auto list = text ? ParseConfigList(**text, file.native(), folder)
                     : base::Result<ConfigList>(tl::make_unexpected(text.error()));
    if (list && (default_network.empty() || list->name == default_network)) {
      loaded.list = *std::move(list);
      loaded.file = file;
      return loaded;
    }
    loaded.skipped.push_back(
        {file, list ? base::Cat(file.native(), ": its network is ", list->name) : list.error().Text()});
  }
  loaded.reason = NoneFound(folder, default_network, loaded.skipped);
  return loaded;
}

}  // namespace berth::network
