#include "server/stats/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "server/stats/kernel_text.h"

namespace berth::stats {
namespace {

constexpr size_t kFirstRead = 4096;
constexpr size_t kMaxFile = 1 << 20;

base::UniqueFd OpenIn(int folder, const char* name) {
  return base::UniqueFd(openat(folder, name, O_RDONLY | O_CLOEXEC));
}

// These files are made anew at each reading and come in one piece, so what fills the buffer is read again in whole.
std::optional<std::string_view> ReadWhole(int fd, std::string& buffer) {
  buffer.resize(std::max(buffer.size(), kFirstRead));
  while (true) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (static_cast<size_t>(got) < buffer.size()) return std::string_view(buffer.data(), static_cast<size_t>(got));
    if (buffer.size() >= kMaxFile) return std::nullopt;
    buffer.resize(2 * buffer.size());
  }
}

}  // namespace

Folder::Folder(const base::Path& path, const std::vector<const char*>& kept)
    : fd_(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!fd_ || kept.empty()) return;
  count_ = kept.size();
  kept_ = std::make_unique<Kept[]>(count_);
  for (size_t i = 0; i < count_; ++i) kept_[i].name = kept[i];
}

std::optional<std::string_view> Folder::Read(std::string_view name, std::string& buffer) const {
  if (!fd_) return std::nullopt;
  for (size_t i = 0; i < count_; ++i) {
    Kept& file = kept_[i];
    if (name != file.name) continue;
    std::call_once(file.opened, [&] { file.fd = OpenIn(fd_.get(), file.name); });
    // One that was not there may be by now: a controller can be switched on later.
    if (file.fd) return ReadWhole(file.fd.get(), buffer);
  }
  const base::UniqueFd fd = OpenIn(fd_.get(), std::string(name).c_str());
  if (!fd) return std::nullopt;
  return ReadWhole(fd.get(), buffer);
}

std::optional<uint64_t> Folder::ReadNumber(std::string_view name, std::string& buffer) const {
  const auto text = Read(name, buffer);
  return text ? ParseNumber(*text) : std::nullopt;
}

}  // namespace berth::stats
