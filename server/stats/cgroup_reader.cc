#include "server/stats/cgroup_reader.h"

#include <fcntl.h>

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"
#include "server/stats/kernel_text.h"

namespace berth::stats {

using base::Code;
using base::Fail;
using base::Result;
using base::UniqueFd;

namespace {

std::optional<PidsStats> ReadPids(int folder, std::string& buffer) {
  const auto current = ReadText(folder, "pids.current", buffer);
  if (!current) return std::nullopt;
  const auto count = ParseNumber(*current);
  if (!count) return std::nullopt;
  PidsStats out{.current = *count};
  if (const auto limit = ReadText(folder, "pids.max", buffer)) out.limit = ParseNumber(*limit);
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
                                        std::vector<std::string> huge_page_sizes) {
  CgroupReader out;
  out.group_ = group.native();
  out.huge_page_sizes_ = std::move(huge_page_sizes);
  out.folders_.unified = tree.unified();
  const auto open = [&](const base::Path& folder) {
    return UniqueFd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  };
  if (tree.unified()) {
    out.folders_.cpu = open(tree.Folders(group).front());
    if (!out.folders_.cpu) return Fail(Code::kNotFound, "cgroup ", out.group_, " does not exist");
    return out;
  }
  bool any = false;
  const auto keep = [&](std::string_view controller, UniqueFd& into) {
    const auto folder = tree.Folder(group, controller);
    if (!folder) return;
    into = open(*folder);
    any = any || into.valid();
  };
  keep("cpu", out.folders_.cpu);
  keep("cpuacct", out.folders_.cpuacct);
  keep("memory", out.folders_.memory);
  keep("pids", out.folders_.pids);
  keep("blkio", out.folders_.io);
  keep("hugetlb", out.folders_.hugetlb);
  if (!any) return Fail(Code::kNotFound, "cgroup ", out.group_, " does not exist");
  return out;
}

Result<CgroupStats> CgroupReader::Read(Depth depth) const {
  std::string buffer;
  CgroupStats out{.time = base::UnixNanos()};
  const bool all = depth == Depth::kAll;
  if (folders_.unified) {
    const int folder = folders_.cpu.get();
    out.cpu = v2::ReadCpu(folder, buffer);
    out.memory = v2::ReadMemory(folder, depth, buffer);
    out.pids = ReadPids(folder, buffer);
    if (const auto text = ReadText(folder, "io.pressure", buffer)) out.io_pressure = ParsePressure(*text);
    if (const auto text = all ? ReadText(folder, "io.stat", buffer) : std::nullopt) out.io = ParseIoStat(*text);
    if (all) out.huge_pages = v2::ReadHugePages(folder, huge_page_sizes_, buffer);
  } else {
    out.cpu = v1::ReadCpu(folders_.cpu.get(), folders_.cpuacct.get(), depth, buffer);
    out.memory = v1::ReadMemory(folders_.memory.get(), depth, buffer);
    out.pids = ReadPids(folders_.pids.get(), buffer);
    if (all) out.io = v1::ReadIo(folders_.io.get(), buffer);
    if (all) out.huge_pages = v1::ReadHugePages(folders_.hugetlb.get(), huge_page_sizes_, buffer);
  }
  // The files of a group that was removed cannot be opened, though its folder still is.
  if (!out.cpu && !out.memory && !out.pids) return Fail(Code::kNotFound, "cgroup ", group_, " is gone");
  return out;
}

std::optional<uint64_t> CgroupReader::ReadCpuUsage() const {
  std::string buffer;
  return folders_.unified ? v2::ReadCpuUsage(folders_.cpu.get(), buffer)
                          : v1::ReadCpuUsage(folders_.cpuacct.get(), buffer);
}

CgroupLimits CgroupReader::ReadLimits() const {
  std::string buffer;
  return folders_.unified ? v2::ReadLimits(folders_.cpu.get(), buffer)
                          : v1::ReadLimits(folders_.cpu.get(), folders_.memory.get(), buffer);
}

}  // namespace berth::stats
