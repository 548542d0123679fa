#include "tests/e2e/harness/leaks.h"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <thread>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/isolation.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

using Names = std::multiset<std::string>;

Names Mounts() {
  Names names;
  auto text = base::ReadFile("/proc/self/mountinfo");
  if (!text) return names;
  for (std::string_view line : base::Split(base::Trim(*text), '\n')) {
    auto fields = base::Split(line, ' ');
    if (fields.size() > 5) names.insert(std::string(fields[4]));
  }
  return names;
}

Names FolderNames(const Path& folder) {
  Names names;
  if (auto list = base::ListFolder(folder)) names.insert(list->begin(), list->end());
  return names;
}

// The folders that a kubelet keeps as long as the node stands do not count; on a node neither do other services'.
bool CgroupCounts(const Path& folder, bool systemd) {
  std::string name = folder.filename().string();
  for (const char* kept : {"kubepods", "besteffort", "kubepods.slice", "kubepods-besteffort.slice"}) {
    if (name == kept) return false;
  }
  std::string text = folder.string();
  return !systemd || text.find("kubepods") != std::string::npos || text.find("berth") != std::string::npos;
}

Names Cgroups(bool systemd) {
  Names names;
  std::error_code error;
  for (fs::recursive_directory_iterator at("/sys/fs/cgroup", error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_symlink(ignored) || !at->is_directory(ignored)) continue;
    // crun makes plain folders in what hides a hybrid host's v2 hierarchy.
    if (at->path() == "/sys/fs/cgroup/unified") {
      at.disable_recursion_pending();
      continue;
    }
    if (CgroupCounts(at->path(), systemd)) names.insert(at->path().string());
  }
  return names;
}

int ParentOf(int pid, std::string& comm, char& state) {
  auto text = base::ReadFile(Cat("/proc/", pid, "/stat"));
  if (!text) return -1;
  size_t open = text->find('(');
  size_t close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 >= text->size()) return -1;
  comm = text->substr(open + 1, close - open - 1);
  auto fields = base::Split(std::string_view(*text).substr(close + 2), ' ');
  state = fields[0].empty() ? '?' : fields[0][0];
  auto parent = fields.size() > 1 ? base::ParseInt(fields[1]) : std::nullopt;
  return parent ? static_cast<int>(*parent) : -1;
}

struct Process {
  int parent = -1;
  std::string comm;
  char state = '?';
};

std::map<int, Process> AllProcesses() {
  std::map<int, Process> all;
  auto names = base::ListFolder("/proc");
  if (!names) return all;
  for (const std::string& name : *names) {
    auto pid = base::ParseInt(name);
    if (!pid) continue;
    Process one;
    one.parent = ParentOf(static_cast<int>(*pid), one.comm, one.state);
    if (one.parent >= 0) all.emplace(static_cast<int>(*pid), std::move(one));
  }
  return all;
}

bool DescendsFrom(const std::map<int, Process>& all, int pid, int ancestor) {
  for (int steps = 0; steps < 64; ++steps) {
    auto found = all.find(pid);
    if (found == all.end()) return false;
    if (found->second.parent == ancestor) return true;
    pid = found->second.parent;
  }
  return false;
}

// Descendants of the adopter other than the test program itself and berthd's own.
Names Processes() {
  Names names;
  auto all = AllProcesses();
  for (const auto& [pid, one] : all) {
    if (pid == ::getpid() || !DescendsFrom(all, pid, AdopterPid())) continue;
    names.insert(one.state == 'Z' ? one.comm + " (zombie)" : one.comm);
  }
  return names;
}

Names Links() {
  Names names;
  struct if_nameindex* list = ::if_nameindex();
  for (auto* at = list; at && at->if_index != 0; ++at) names.insert(at->if_name);
  if (list) ::if_freenameindex(list);
  names.erase("e2e0");  // the bridge stays: that is how the plugin works
  return names;
}

// The chains that bridge and portmap make for each pod: a prefix and a hash.
Names PodChains() {
  Names names;
  auto run = base::Run({.spawn = {.program = "/usr/sbin/iptables-save",
                                  .arguments = {"iptables-save", "-t", "nat"},
                                  .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}},
                       base::Context().WithTimeout(20s));
  if (!run) return names;
  for (std::string_view line : base::Split(run->output, '\n')) {
    if (!line.starts_with(":CNI-")) continue;
    std::string_view chain = line.substr(1, line.find(' ') - 1);
    if (chain.starts_with("CNI-HOSTPORT")) continue;
    names.insert(std::string(chain));
  }
  return names;
}

// Folders that hold the objects of one kind are made when the first is, and stay; so does what an OCI runtime makes.
bool IsFixedFolder(const fs::directory_entry& entry, int depth) {
  std::error_code ignored;
  if (!entry.is_directory(ignored)) return false;
  return depth == 0 || (depth == 1 && entry.path().parent_path().filename() == "oci");
}

Names Files(const InventoryScope& scope) {
  Names names;
  for (const Path& root : scope.file_roots) {
    std::error_code error;
    for (fs::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
      auto ignored = [&](const Path& path) { return at->path() == path; };
      if (std::ranges::any_of(scope.ignored_files, ignored)) {
        at.disable_recursion_pending();
        continue;
      }
      if (!IsFixedFolder(*at, at.depth())) names.insert(at->path().string());
    }
  }
  return names;
}

Names Addresses(const Path& folder) {
  Names names;
  for (const std::string& network : FolderNames(folder)) {
    for (const std::string& name : FolderNames(folder / network)) {
      if (name != "lock" && !name.starts_with("last_reserved_ip")) names.insert(name);
    }
  }
  return names;
}

}  // namespace

Inventory TakeInventory(const InventoryScope& scope) {
  return {{"mount", Mounts()},
          {"netns", FolderNames("/run/netns")},
          {"cgroup", Cgroups(scope.systemd)},
          {"process", Processes()},
          {"link", Links()},
          {"firewall chain", PodChains()},
          {"address", Addresses(scope.address_folder)},
          {"file", Files(scope)}};
}

std::vector<std::string> Differences(const Inventory& before, const Inventory& now) {
  std::vector<std::string> lines;
  for (const auto& [kind, names] : now) {
    auto old = before.find(kind);
    static const Names kNone;
    const Names& had = old == before.end() ? kNone : old->second;
    std::vector<std::string> left, lost;
    std::ranges::set_difference(names, had, std::back_inserter(left));
    std::ranges::set_difference(had, names, std::back_inserter(lost));
    for (const std::string& name : left) lines.push_back(Cat(kind, " left: ", name));
    for (const std::string& name : lost) lines.push_back(Cat(kind, " lost: ", name));
  }
  return lines;
}

std::vector<std::string> WaitForInventory(const Inventory& before, const InventoryScope& scope,
                                          std::chrono::milliseconds limit) {
  for (auto end = base::Monotonic::now() + limit;; std::this_thread::sleep_for(20ms)) {
    auto lines = Differences(before, TakeInventory(scope));
    if (lines.empty() || base::Monotonic::now() > end) return lines;
  }
}

std::vector<int> ProcessesNamed(const std::string& comm) {
  std::vector<int> pids;
  for (const auto& [pid, one] : AllProcesses()) {
    if (one.comm == comm && one.state != 'Z') pids.push_back(pid);
  }
  return pids;
}

}  // namespace berth::e2e
