#include "container/apparmor_default.h"

#include "base/child.h"
#include "base/strings.h"

namespace berth::container {
namespace {

// Rules are words of apparmor.d(5). No include: the profile must load where /etc/apparmor.d is empty. A denial wins
// over what is allowed, and there is no "all but": "all but kernel" is one pattern for each letter in which a name can
// differ from it.
constexpr std::string_view kRules = R"(
  network,
  capability,
  file,
  umount,
  deny mount,

  signal (receive) peer=unconfined,
  signal (receive) peer={runc,crun,berthd,/usr/bin/runc,/usr/bin/crun,/usr/bin/berthd,/usr/sbin/runc},
  signal (send, receive) peer=@NAME@,
  ptrace (trace, read, tracedby, readby) peer=@NAME@,

  # Of /proc only the processes' own folders and sys can be written to,
  deny /proc/* w,
  deny /proc/[^0-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sy[^s]*/** w,
  deny /proc/sys?*/** w,
  # of sys only the shared memory's settings, which belong to the pod's ipc namespace.
  deny /proc/sys/[^k]** w,
  deny /proc/sys/k[^e]** w,
  deny /proc/sys/ke[^r]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,

  # Of /sys only fs/cgroup,
  deny /sys/[^f]** wkl,
  deny /sys/f[^s]** wkl,
  deny /sys/fs/[^c]** wkl,
  deny /sys/fs/c[^g]** wkl,
  deny /sys/fs/cg[^r]** wkl,
  # and these not even to be read.
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
)";

}  // namespace

std::string ApparmorDefaultText() {
  std::string rules(kRules);
  for (size_t at = 0; (at = rules.find("@NAME@", at)) != std::string::npos;) rules.replace(at, 6, kApparmorDefault);
  return base::Cat("profile ", kApparmorDefault, " flags=(attach_disconnected,mediate_deleted) {", rules, "}\n");
}

base::Status ApparmorDefault::Load(const base::Context& context) {
  if (loaded_) return {};
  if (!can_load()) {
    return base::Fail(base::Code::kFailedPrecondition, "apparmor: apparmor_parser is not installed, so profile ",
                      kApparmorDefault, " cannot be loaded");
  }
  base::RunOptions run;
  // From standard input, in place of one of that name, and without the parser's cache of files.
  run.spawn = {.program = parser_,
               .arguments = {"apparmor_parser", "--replace", "--skip-cache"},
               .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}};
  run.input = ApparmorDefaultText();
  ASSIGN_OR_RETURN(const base::RunResult result, base::Run(std::move(run), context), "apparmor: load profile ",
                   kApparmorDefault);
  if (result.exit.code != 0) {
    return base::Fail(base::Code::kFailedPrecondition, "apparmor: load profile ", kApparmorDefault, ": ",
                      parser_.native(), ": ", result.exit.Text(), ": ", base::Trim(result.errors));
  }
  loaded_ = true;
  return {};
}

bool HasApparmor(const base::Path& sys) {
  const auto enabled = base::ReadFile(sys / "module/apparmor/parameters/enabled");
  return enabled && enabled->starts_with('Y');
}

}  // namespace berth::container
