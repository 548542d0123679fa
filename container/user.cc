#include "container/user.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/file.h"
#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"

namespace berth::container {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 31) - 1;
constexpr size_t kMaxFile = 4 << 20;

// Empty when there is no such file. Looked at before it is opened: an image may ship a FIFO or a device under this name, and
// opening a device can do things.
base::Result<std::string> ReadInRoot(int rootfs, const char* path) {
  auto place = base::OpenInRoot(rootfs, path, O_PATH);
  if (!place) {
    if (place.error().err == ENOENT || place.error().err == ENOTDIR) return std::string();
    return tl::make_unexpected(std::move(place).error());
  }
  struct stat info {};
  if (fstat(place->get(), &info) != 0) return base::FailErrno(errno, "stat ", path);
  if (!S_ISREG(info.st_mode)) return base::Fail(base::Code::kInvalidArgument, "the image's /", path, " is not a regular file");
  ASSIGN_OR_RETURN(const base::UniqueFd file, base::Open(base::Cat("/proc/self/fd/", place->get()), O_RDONLY));
  return base::ReadAll(file.get(), kMaxFile, path);
}

struct PasswdEntry {
  std::string name;
  int64_t uid = 0;
  int64_t gid = 0;
};

// Lines that are damaged are skipped, as libc does.
template <typename Match>
std::optional<PasswdEntry> FindUser(std::string_view passwd, Match match) {
  for (const std::string_view line : base::Split(passwd, '\n')) {
    const auto fields = base::Split(line, ':');
    if (fields.size() < 4) continue;
    const auto uid = base::ParseInt(fields[2]);
    const auto gid = base::ParseInt(fields[3]);
    if (!uid || !gid) continue;
    PasswdEntry entry{std::string(fields[0]), *uid, *gid};
    if (match(entry)) return entry;
  }
  return std::nullopt;
}

std::optional<int64_t> FindGroup(std::string_view group, std::string_view name) {
  for (const std::string_view line : base::Split(group, '\n')) {
    const auto fields = base::Split(line, ':');
    if (fields.size() >= 3 && fields[0] == name) return base::ParseInt(fields[2]);
  }
  return std::nullopt;
}

std::vector<int64_t> GroupsOf(std::string_view group, std::string_view user) {
  std::vector<int64_t> out;
  for (const std::string_view line : base::Split(group, '\n')) {
    const auto fields = base::Split(line, ':');
    if (fields.size() < 4) continue;
    const auto members = base::Split(base::Trim(fields[3]), ',');
    const auto gid = base::ParseInt(fields[2]);
    if (gid && *gid >= 0 && *gid <= kMaxId && std::find(members.begin(), members.end(), user) != members.end()) out.push_back(*gid);
  }
  return out;
}

base::Result<int64_t> CheckId(int64_t id, std::string_view what) {
  if (id < 0 || id > kMaxId) return base::Fail(base::Code::kInvalidArgument, what, " ", id, " is out of range");
  return id;
}

}  // namespace

base::Result<User> ResolveUser(int rootfs, const cri::LinuxContainerSecurityContext& security,
                               std::string_view image_user) {
  if (security.has_run_as_group() && !security.has_run_as_user() && security.run_as_username().empty()) {
    return base::Fail(base::Code::kInvalidArgument, "run_as_group needs run_as_user or run_as_username");
  }
  ASSIGN_OR_RETURN(const std::string passwd, ReadInRoot(rootfs, "etc/passwd"));
  ASSIGN_OR_RETURN(const std::string group, ReadInRoot(rootfs, "etc/group"));

  std::string name;
  std::string group_name;
  if (!security.run_as_username().empty()) {
    name = security.run_as_username();
  } else if (security.has_run_as_user()) {
    name = std::to_string(security.run_as_user().value());
  } else {
    const size_t colon = image_user.find(':');
    name = image_user.substr(0, colon);
    if (colon != std::string_view::npos) group_name = image_user.substr(colon + 1);
    if (name.empty()) name = "0";
  }

  User user;
  std::optional<PasswdEntry> entry;
  if (const auto uid = base::ParseInt(name)) {
    ASSIGN_OR_RETURN(user.uid, CheckId(*uid, "user"));
    entry = FindUser(passwd, [&](const PasswdEntry& candidate) { return candidate.uid == *uid; });
  } else {
    entry = FindUser(passwd, [&](const PasswdEntry& candidate) { return candidate.name == name; });
    if (!entry) return base::Fail(base::Code::kInvalidArgument, "user \"", name, "\" is not in the image's /etc/passwd");
    ASSIGN_OR_RETURN(user.uid, CheckId(entry->uid, "user"));
  }

  if (security.has_run_as_group()) {
    ASSIGN_OR_RETURN(user.gid, CheckId(security.run_as_group().value(), "group"));
  } else if (!group_name.empty()) {
    const auto number = base::ParseInt(group_name);
    const auto gid = number ? number : FindGroup(group, group_name);
    if (!gid) return base::Fail(base::Code::kInvalidArgument, "group \"", group_name, "\" is not in the image's /etc/group");
    ASSIGN_OR_RETURN(user.gid, CheckId(*gid, "group"));
  } else if (entry) {
    ASSIGN_OR_RETURN(user.gid, CheckId(entry->gid, "group"));
  }

  user.groups.push_back(user.gid);
  using cri::SupplementalGroupsPolicy;
  switch (security.supplemental_groups_policy()) {
    case SupplementalGroupsPolicy::Merge:
      if (entry) {
        for (const int64_t gid : GroupsOf(group, entry->name)) user.groups.push_back(gid);
      }
      break;
    case SupplementalGroupsPolicy::Strict: break;
    default:
      return base::Fail(base::Code::kInvalidArgument, "supplemental_groups_policy ",
                        static_cast<int>(security.supplemental_groups_policy()), " is not implemented");
  }
  for (const int64_t wanted : security.supplemental_groups()) {
    ASSIGN_OR_RETURN(const int64_t gid, CheckId(wanted, "supplemental group"));
    user.groups.push_back(gid);
  }
  std::sort(user.groups.begin(), user.groups.end());
  user.groups.erase(std::unique(user.groups.begin(), user.groups.end()), user.groups.end());
  return user;
}

}  // namespace berth::container
