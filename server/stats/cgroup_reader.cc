#include "server/stats/cgroup_reader.h"

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"
#include "server/stats/kernel_text.h"

namespace berth::stats {

using base::Code;
using base::Fail;
using base::Result;

namespace {

// What Depth::kUsage reads.
const std::vector<const char*> kCpuacctFiles = {"cpuacct.usage"};
const std::vector<const char*> kMemoryFiles = {"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat",
                                               "memory.memsw.usage_in_bytes", "memory.memsw.limit_in_bytes"};
const std::vector<const char*> kUnifiedFiles = {
    "cpu.stat",        "cpu.pressure",    "memory.current", "memory.max",  "memory.stat", "memory.swap.current",
    "memory.swap.max", "memory.pressure", "io.pressure",    "pids.current"};

std::optional<PidsStats> ReadPids(const Folder& folder, Depth depth, std::string& buffer) {
  const auto count = folder.ReadNumber("pids.current", buffer);
  if (!count) return std::nullopt;
  PidsStats out{.current = *count};
  if (depth == Depth::kAll) out.limit = folder.ReadNumber("pids.max", buffer);
  return out;
}

}  // namespace

std::vector<std::string> HugePageSizes(const base::Path& folder) {
  std::vector<std::string> out;
  const auto names = base::ListFolder(folder);
  if (!names) return out;
  for (std::string_view name : *names) {
    if (!name.starts_with("hugepages-") || !name.ends_with("kB")) continue;
    name.remove_prefix(10);
    name.remove_suffix(2);
    const auto kilobytes = base::ParseInt(name);
    if (!kilobytes) continue;
    if (*kilobytes >= 1 << 20)
      out.push_back(base::Cat(*kilobytes >> 20, "GB"));
    else if (*kilobytes >= 1 << 10)
      out.push_back(base::Cat(*kilobytes >> 10, "MB"));
    else
      out.push_back(base::Cat(*kilobytes, "KB"));
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<CgroupReader> CgroupReader::Open(const kernel::CgroupTree& tree, const base::Path& group,
                                        std::vector<std::string> huge_page_sizes, bool keep_files) {
  CgroupReader out;
  out.group_ = group.native();
  out.huge_page_sizes_ = std::move(huge_page_sizes);
  out.folders_.unified = tree.unified();
  const auto open = [&](const base::Path& folder, const std::vector<const char*>& files) {
    return Folder(folder, keep_files ? files : std::vector<const char*>());
  };
  if (tree.unified()) {
    out.folders_.cpu = open(tree.Folders(group).front(), kUnifiedFiles);
    if (!out.folders_.cpu.valid()) return Fail(Code::kNotFound, "cgroup ", out.group_, " does not exist");
    return out;
  }
  bool any = false;
  const auto keep = [&](std::string_view controller, Folder& into, const std::vector<const char*>& files) {
    const auto folder = tree.Folder(group, controller);
    if (!folder) return;
    into = open(*folder, files);
    any = any || into.valid();
  };
  keep("cpu", out.folders_.cpu, {});
  keep("cpuacct", out.folders_.cpuacct, kCpuacctFiles);
  keep("memory", out.folders_.memory, kMemoryFiles);
  keep("pids", out.folders_.pids, {"pids.current"});
  keep("blkio", out.folders_.io, {});
  keep("hugetlb", out.folders_.hugetlb, {});
  if (!any) return Fail(Code::kNotFound, "cgroup ", out.group_, " does not exist");
  return out;
}

Result<CgroupStats> CgroupReader::Read(Depth depth) const {
  std::string buffer;
  CgroupStats out{.time = base::UnixNanos()};
  const bool all = depth == Depth::kAll;
  if (folders_.unified) {
    const Folder& folder = folders_.cpu;
    out.cpu = v2::ReadCpu(folder, buffer);
    out.memory = v2::ReadMemory(folder, depth, buffer);
    out.pids = ReadPids(folder, depth, buffer);
    if (const auto text = folder.Read("io.pressure", buffer)) out.io_pressure = ParsePressure(*text);
    if (const auto text = all ? folder.Read("io.stat", buffer) : std::nullopt) out.io = ParseIoStat(*text);
    if (all) out.huge_pages = v2::ReadHugePages(folder, huge_page_sizes_, buffer);
  } else {
    out.cpu = v1::ReadCpu(folders_.cpu, folders_.cpuacct, depth, buffer);
    out.memory = v1::ReadMemory(folders_.memory, depth, buffer);
    out.pids = ReadPids(folders_.pids, depth, buffer);
    if (all) out.io = v1::ReadIo(folders_.io, buffer);
    if (all) out.huge_pages = v1::ReadHugePages(folders_.hugetlb, huge_page_sizes_, buffer);
  }
  // The files of a group that was removed cannot be opened, though its folder still is.
  if (!out.cpu && !out.memory && !out.pids) return Fail(Code::kNotFound, "cgroup ", group_, " is gone");
  return out;
}

std::optional<uint64_t> CgroupReader::ReadCpuUsage() const {
  std::string buffer;
  return folders_.unified ? v2::ReadCpuUsage(folders_.cpu, buffer) : v1::ReadCpuUsage(folders_.cpuacct, buffer);
}

CgroupLimits CgroupReader::ReadLimits() const {
  std::string buffer;
  return folders_.unified ? v2::ReadLimits(folders_.cpu, buffer)
                          : v1::ReadLimits(folders_.cpu, folders_.memory, buffer);
}

}  // namespace berth::stats
