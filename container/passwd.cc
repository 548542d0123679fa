#include "container/passwd.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::container {
namespace {

template <typename Match>
std::optional<PasswdEntry> FindEntry(std::string_view passwd, Match match) {
  for (const std::string_view line : base::Split(passwd, '\n')) {
    const auto fields = base::Split(line, ':');
    if (fields.size() < 4) continue;
    const auto uid = base::ParseInt(fields[2]);
    const auto gid = base::ParseInt(fields[3]);
    if (!uid || !gid) continue;
    PasswdEntry entry{std::string(fields[0]), *uid, *gid, fields.size() > 5 ? std::string(fields[5]) : std::string()};
    if (match(entry)) return entry;
  }
  return std::nullopt;
}

}  // namespace

std::optional<PasswdEntry> FindUser(std::string_view passwd, std::string_view name) {
  return FindEntry(passwd, [&](const PasswdEntry& entry) { return entry.name == name; });
}

std::optional<PasswdEntry> FindUser(std::string_view passwd, int64_t uid) {
  return FindEntry(passwd, [&](const PasswdEntry& entry) { return entry.uid == uid; });
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
    if (gid && *gid >= 0 && *gid <= kMaxId && std::find(members.begin(), members.end(), user) != members.end())
      out.push_back(*gid);
  }
  return out;
}

}  // namespace berth::container
