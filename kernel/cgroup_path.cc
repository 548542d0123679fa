#include "kernel/cgroup.h"

#include <string>

#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::Path;
using base::Result;

constexpr size_t kMaxPath = 2048;
constexpr size_t kMaxName = 255;
constexpr std::string_view kSlice = ".slice";

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\n\0", 3)) == std::string_view::npos;
}

// systemd.slice(5): a dash in a slice's name says where it lies; "-.slice" is the root.
Result<std::string> ExpandSlice(std::string_view slice) {
  if (slice == "-.slice") return std::string();
  const std::string_view stem = slice.substr(0, slice.size() - kSlice.size());
  std::string out;
  std::string prefix;
  for (const std::string_view part : base::Split(stem, '-')) {
    if (part.empty()) return Fail(Code::kInvalidArgument, "cgroup ", slice, ": no possible slice name");
    prefix += prefix.empty() ? "" : "-";
    prefix += part;
    out += "/" + prefix;
    out += kSlice;
  }
  return out;
}

}  // namespace

Result<Path> ResolveCgroup(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return Fail(Code::kInvalidArgument, "cgroup ", text.substr(0, kMaxPath), ": ", why);
  };
  if (text.size() > kMaxPath) return bad("too long");
  std::string out;
  if (const auto parts = base::Split(text, ':'); parts.size() == 3 && parts[0].ends_with(kSlice)) {
    // OCI with the systemd driver: slice, prefix, name.
    if (!IsName(parts[0]) || !IsName(parts[2]) || (!parts[1].empty() && !IsName(parts[1])))
      return bad("not a possible name");
    ASSIGN_OR_RETURN(out, ExpandSlice(parts[0]));
    out += parts[1].empty() ? base::Cat("/", parts[2]) : base::Cat("/", parts[1], "-", parts[2]);
    if (!out.ends_with(kSlice)) out += ".scope";
  } else if (text.ends_with(kSlice) && text.find('/') == std::string_view::npos) {
    if (!IsName(text)) return bad("not a possible name");
    ASSIGN_OR_RETURN(out, ExpandSlice(text));
  } else {
    for (const std::string_view part : base::Split(text, '/')) {
      if (part.empty()) continue;
      if (!IsName(part)) return bad("not a possible name");
      out += base::Cat("/", part);
    }
  }
  if (out.empty()) return bad("the root is nobody's");
  return Path(out);
}

}  // namespace berth::kernel
