#include "kernel/overlay.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"
#include "base/unique_fd.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kMaxLayers = 500;      // the kernel's own bound (OVL_MAX_STACK)
constexpr size_t kMaxValue = 255;       // fsconfig(2) takes strings of up to 256 bytes with the NUL
constexpr size_t kMaxMountData = 4095;  // mount(2) copies one page and ends it with a NUL

Status Validate(const OverlaySpec& spec) {
  const auto bad = [&](std::string_view why) {
    return Fail(Code::kInvalidArgument, "overlay on ", spec.target.native(), ": ", why);
  };
  if (spec.lower.empty()) return bad("no lower layer");
  if (spec.lower.size() > kMaxLayers) return bad("too many lower layers");
  if (spec.upper.empty() != spec.work.empty()) return bad("upper and work folder go together");
  if (spec.upper.empty() && spec.lower.size() == 1 && spec.empty.empty())
    return bad("one read-only layer needs an empty folder");
  if (spec.label.find_first_of("\"\\") != std::string::npos) return bad("an impossible label");
  const auto relative = [](const Path& path) { return !path.empty() && !path.is_absolute(); };
  if (std::any_of(spec.lower.begin(), spec.lower.end(), relative) || relative(spec.upper) || relative(spec.work) ||
      relative(spec.empty)) {
    return bad("a layer's path is not absolute");
  }
  for (const std::string& option : spec.options) {
    const std::string_view key = std::string_view(option).substr(0, option.find('='));
    if (key.empty() || option.find(',') != std::string::npos || key.starts_with("lowerdir") ||
        key.starts_with("datadir") || key == "upperdir" || key == "workdir") {
      return bad("option not allowed: " + option);
    }
  }
  return {};
}

std::vector<Path> LowerLayers(const OverlaySpec& spec) {
  std::vector<Path> lower = spec.lower;
  if (spec.upper.empty() && lower.size() == 1) lower.push_back(spec.empty);
  return lower;
}

// Names that the kernel understands for folders; keeps the descriptors that some of them stand for.
class Names {
 public:
  // By descriptor; short, and free of characters that overlay treats as special.
  Result<std::string> Short(const Path& path) {
    ASSIGN_OR_RETURN(UniqueFd fd, base::Open(path, O_PATH | O_DIRECTORY));
    kept_.push_back(std::move(fd));
    return base::Cat("/proc/self/fd/", kept_.back().get());
  }
  // As it is, where that can be: it is what mountinfo shows later.
  Result<std::string> Plain(const Path& path, std::string_view special) {
    const std::string& text = path.native();
    if (text.size() <= kMaxValue && text.find_first_of(special) == std::string::npos) return text;
    return Short(path);
  }

 private:
  std::vector<UniqueFd> kept_;
};

// What the file system says about its failure, which is more than an errno: "overlay: failed to resolve ...".
std::string Explain(int context) {
  std::string out;
  std::array<char, 512> line;
  for (int i = 0; i < 8; ++i) {
    const ssize_t got = read(context, line.data(), line.size());
    if (got <= 0) break;
    out += out.empty() ? " (" : "; ";
    out += base::Trim({line.data(), static_cast<size_t>(got)});
  }
  if (!out.empty()) out += ')';
  return out;
}

// One superblock in the making.
class FsContext {
 public:
  FsContext(UniqueFd fd, std::string what) : fd_(std::move(fd)), what_(std::move(what)) {}

  Status Set(const char* key, const std::string& value) {
    if (fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
    return Failure(base::Cat("set ", key, "=", value));
  }
  Status SetOption(const std::string& option) {
    const size_t equals = option.find('=');
    if (equals != std::string::npos) return Set(option.substr(0, equals).c_str(), option.substr(equals + 1));
    if (fsconfig(fd_.get(), FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0) == 0) return {};
    return Failure(base::Cat("set ", option));
  }
  Status Attach(const Path& target, unsigned attributes) {
    if (fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return Failure("create");
    UniqueFd tree(fsmount(fd_.get(), FSMOUNT_CLOEXEC, attributes));
    if (!tree) return Failure("make a mount");
    if (move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) return Failure("attach");
    return {};
  }

 private:
  Status Failure(const std::string& step) const {
    const int err = errno;
    base::Error error = FailErrno(err, what_, ": ", step).value();
    error.message += Explain(fd_.get());
    return tl::make_unexpected(std::move(error));
  }

  UniqueFd fd_;
  std::string what_;
};

Result<std::string> MountData(const OverlaySpec& spec, const std::vector<Path>& lower, bool by_descriptor,
                              Names& names) {
  const auto name = [&](const Path& path) { return by_descriptor ? names.Short(path) : names.Plain(path, ":,\\"); };
  std::string data = "lowerdir=";
  for (const Path& layer : lower) {
    ASSIGN_OR_RETURN(const std::string text, name(layer));
    if (!data.ends_with('=')) data += ':';
    data += text;
  }
  if (!spec.upper.empty()) {
    ASSIGN_OR_RETURN(const std::string upper, name(spec.upper));
    ASSIGN_OR_RETURN(const std::string work, name(spec.work));
    data += ",upperdir=" + upper + ",workdir=" + work;
  }
  // Quoted: a level has commas.
  if (!spec.label.empty()) data += ",context=\"" + spec.label + "\"";
  for (const std::string& option : spec.options) data += "," + option;
  return data;
}

}  // namespace

namespace internal {

bool KernelTakesLayersOneByOne() {
  static const bool takes = [] {
    const UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
    const auto accepts = [&](const char* key) {
      return fsconfig(context.get(), FSCONFIG_SET_STRING, key, "/", 0) == 0;
    };
    // Before 6.5 nobody looks at the keys until the superblock is made: all of them are accepted then.
    return context && accepts("lowerdir+") && !accepts("berth-no-such-key");
  }();
  return takes;
}

Status MountOverlayByFsconfig(const OverlaySpec& spec) {
  RETURN_IF_ERROR(Validate(spec));
  const std::string what = base::Cat("overlay on ", spec.target.native());
  UniqueFd fd(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!fd) return FailErrno(errno, what, ": open");
  FsContext context(std::move(fd), what);
  Names names;
  RETURN_IF_ERROR(context.Set("source", "overlay"));
  for (const Path& layer : LowerLayers(spec)) {
    ASSIGN_OR_RETURN(const std::string name, names.Plain(layer, "\\"), what);
    RETURN_IF_ERROR(context.Set("lowerdir+", name));
  }
  if (!spec.upper.empty()) {
    ASSIGN_OR_RETURN(const std::string upper, names.Plain(spec.upper, "\\"), what);
    ASSIGN_OR_RETURN(const std::string work, names.Plain(spec.work, "\\"), what);
    RETURN_IF_ERROR(context.Set("upperdir", upper));
    RETURN_IF_ERROR(context.Set("workdir", work));
  }
  if (!spec.label.empty()) RETURN_IF_ERROR(context.Set("context", spec.label));
  for (const std::string& option : spec.options) RETURN_IF_ERROR(context.SetOption(option));
  if (spec.read_only) RETURN_IF_ERROR(context.SetOption("ro"));
  return context.Attach(spec.target, spec.read_only ? MOUNT_ATTR_RDONLY : 0);
}

Status MountOverlayByMountCall(const OverlaySpec& spec) {
  RETURN_IF_ERROR(Validate(spec));
  const std::string what = base::Cat("overlay on ", spec.target.native());
  const std::vector<Path> lower = LowerLayers(spec);
  Names names;
  ASSIGN_OR_RETURN(std::string data, MountData(spec, lower, false, names), what);
  if (data.size() > kMaxMountData) {
    ASSIGN_OR_RETURN(data, MountData(spec, lower, true, names), what);
  }
  if (data.size() > kMaxMountData) {
    return Fail(Code::kInvalidArgument, what, ": ", lower.size(), " layers do not fit into the options of this kernel");
  }
  if (mount("overlay", spec.target.c_str(), "overlay", spec.read_only ? MS_RDONLY : 0, data.c_str()) != 0) {
    return FailErrno(errno, what);
  }
  return {};
}

}  // namespace internal

Status MountOverlay(const OverlaySpec& spec) {
  return internal::KernelTakesLayersOneByOne() ? internal::MountOverlayByFsconfig(spec)
                                               : internal::MountOverlayByMountCall(spec);
}

}  // namespace berth::kernel
