#include "kernel/namespace.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::Result;

constexpr size_t kMaxName = 512;

// sysctl(8): the first separator says which of the two is meant, the other one is then part of a name; so a dot in an
// interface's name is written net.ipv4.conf.eth0/100.forwarding or net/ipv4/conf/eth0.100/forwarding.
std::string WithSlashes(std::string_view name) {
  std::string out(name);
  const size_t first = name.find_first_of("./");
  if (first == std::string_view::npos || name[first] == '/') return out;
  for (char& c : out) {
    if (c == '.')
      c = '/';
    else if (c == '/')
      c = '.';
  }
  return out;
}

bool IsPlain(std::string_view path) {
  if (path.size() > kMaxName) return false;
  if (std::any_of(path.begin(), path.end(), [](char c) { return c <= ' ' || c > '~'; })) return false;
  for (const std::string_view part : base::Split(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

}  // namespace

Result<Sysctl> ParseSysctl(std::string_view name) {
  const std::string path = WithSlashes(name);
  const std::string_view text = path;
  const auto is = [&](SysctlNamespace space) { return Sysctl{.space = space, .file = path}; };
  if (!IsPlain(path)) return Fail(Code::kInvalidArgument, "sysctl ", name.substr(0, kMaxName), ": not a valid name");
  if (text.starts_with("net/")) return is(SysctlNamespace::kNet);
  const bool below_kernel = text.starts_with("kernel/") && std::count(text.begin(), text.end(), '/') == 1;
  if ((below_kernel && (text.starts_with("kernel/shm") || text.starts_with("kernel/msg") || text == "kernel/sem")) ||
      text.starts_with("fs/mqueue/")) {
    return is(SysctlNamespace::kIpc);
  }
  if (text == "kernel/domainname") return is(SysctlNamespace::kUts);
  if (text == "kernel/hostname") {
    return Fail(Code::kInvalidArgument, "sysctl ", name, ": the pod's hostname is set by its own field");
  }
  return Fail(Code::kInvalidArgument, "sysctl ", name, ": not one that a pod has for itself");
}

}  // namespace berth::kernel
