// Broken layers, or copies of such, that containers still have mounted.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace berth::image {

// Only the bookkeeping: who needs which folder below one. A folder that is moved there is out of the way of a whole one
// of the same name and stays until the containers that may have it mounted are gone. Not thread-safe.
class RetiredFolders {
 public:
  // What an earlier daemon left, all without users.
  void TakeUp(std::vector<std::string> names);
  // A new folder's name for what was called `name`.
  std::string Add(std::string_view name, std::set<std::string> users);
  // `user` may use what was called `name`, or began with it.
  void Ref(const std::string& user, std::string_view name);
  bool Unref(const std::string& user);  // true when a folder has lost its last
  bool Has(const std::string& folder) const { return users_.contains(folder); }
  // Forgets those that nobody uses: they are the caller's to remove.
  std::vector<std::string> TakeUnused();

 private:
  std::map<std::string, std::set<std::string>> users_;  // by folder
};

// Moves `from` to be the folder `name` below `retired`. One that is already gone is success.
base::Status MoveToRetired(const base::Path& from, const base::Path& retired, const std::string& name);

// What cannot be removed now is found again by the next start.
void RemoveRetired(const base::Path& retired, const std::vector<std::string>& names);

}  // namespace berth::image
