#include "container/user.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/file.h"
#include "base/strings.h"
#include "container/passwd.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "json/json.h"

namespace berth::container {
namespace {

constexpr size_t kMaxFile = 4 << 20;

// Empty when there is no such file. Looked at before it is opened: an image may ship a FIFO or a device under this
// name, and opening a device can do things.
base::Result<std::string> ReadInRoot(int rootfs, const char* path) {
  auto place = base::OpenInRoot(rootfs, path, O_PATH);
  if (!place) {
    if (place.error().err == ENOENT || place.error().err == ENOTDIR) return std::string();
    return tl::make_unexpected(std::move(place).error());
  }
  struct stat info {};
  if (fstat(place->get(), &info) != 0) return base::FailErrno(errno, "stat ", path);
  if (!S_ISREG(info.st_mode))
    return base::Fail(base::Code::kInvalidArgument, "the image's /", path, " is not a regular file");
  ASSIGN_OR_RETURN(const base::UniqueFd file, base::Open(base::Cat("/proc/self/fd/", place->get()), O_RDONLY));
  return base::ReadAll(file.get(), kMaxFile, path);
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
    entry = FindUser(passwd, *uid);
  } else {
    entry = FindUser(passwd, name);
    if (!entry)
      return base::Fail(base::Code::kInvalidArgument, "user \"", name, "\" is not in the image's /etc/passwd");
    ASSIGN_OR_RETURN(user.uid, CheckId(entry->uid, "user"));
  }

  if (security.has_run_as_group()) {
    ASSIGN_OR_RETURN(user.gid, CheckId(security.run_as_group().value(), "group"));
  } else if (!group_name.empty()) {
    const auto number = base::ParseInt(group_name);
    const auto gid = number ? number : FindGroup(group, group_name);
    if (!gid)
      return base::Fail(base::Code::kInvalidArgument, "group \"", group_name, "\" is not in the image's /etc/group");
    ASSIGN_OR_RETURN(user.gid, CheckId(*gid, "group"));
  } else if (entry) {
    ASSIGN_OR_RETURN(user.gid, CheckId(entry->gid, "group"));
  }

  // An image is foreign: its file may hold what JSON, and so the runtime, cannot.
  if (entry && entry->home.starts_with('/') && json::IsText(entry->home)) user.home = entry->home;
  user.groups.push_back(user.gid);
  using cri::SupplementalGroupsPolicy;
  switch (security.supplemental_groups_policy()) {
    case SupplementalGroupsPolicy::Merge:
      if (entry) {
        for (const int64_t gid : GroupsOf(group, entry->name)) user.groups.push_back(gid);
      }
      break;
    case SupplementalGroupsPolicy::Strict:
      break;
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
