// passwd(5) and group(5) as an image brings them. Lines that are damaged are skipped, as libc does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::container {

constexpr int64_t kMaxId = (int64_t{1} << 31) - 1;  // of users and groups

struct PasswdEntry {
  std::string name;
  int64_t uid = 0;  // as it stands there: perhaps out of range
  int64_t gid = 0;
  std::string home{};
};

// The first such line.
std::optional<PasswdEntry> FindUser(std::string_view passwd, std::string_view name);
std::optional<PasswdEntry> FindUser(std::string_view passwd, int64_t uid);
std::optional<int64_t> FindGroup(std::string_view group, std::string_view name);
// The groups that name the user as a member, in the file's order. Ids out of range are left out.
std::vector<int64_t> GroupsOf(std::string_view group, std::string_view user);

}  // namespace berth::container
