// What a test may leave behind, as lists that can be compared.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"

namespace berth::e2e {

// Kind ("mount", "process", "cgroup", "netns", "link", "address", "firewall chain", "file") -> what there is.
using Inventory = std::map<std::string, std::multiset<std::string>>;

struct InventoryScope {
  base::Path address_folder;              // host-local's data
  std::vector<base::Path> file_roots;     // walked without following mounts
  std::vector<base::Path> ignored_files;  // whole subtrees that are expected to change
  bool systemd = false;                   // then cgroups of unrelated services are left out
};
Inventory TakeInventory(const InventoryScope& scope);

// One line for each thing that is in `now` and not in `before` ("mount left: /x") or only there ("mount lost: /x").
std::vector<std::string> Differences(const Inventory& before, const Inventory& now);

// Takes inventories until one equals `before` or `limit` has passed: the kernel takes links, namespaces and cgroups
// apart after the call that drops the last reference has returned. Returns the last differences.
std::vector<std::string> WaitForInventory(const Inventory& before, const InventoryScope& scope,
                                          std::chrono::milliseconds limit);

// Texts about this machine's processes that tests ask for.
std::vector<int> ProcessesNamed(const std::string& comm);

}  // namespace berth::e2e
