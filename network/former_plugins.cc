#include "network/former_plugins.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/child.h"
#include "base/strings.h"
#include "network/plugin.h"

namespace berth::network {

constexpr std::chrono::milliseconds kLook{20};

base::Result<std::unique_ptr<FormerPlugins>> FormerPlugins::Open(Options options) {
  ASSIGN_OR_RETURN(base::UniqueFd lock, base::Open(options.file, O_RDONLY | O_CREAT));
  if (flock(lock.get(), LOCK_SH | LOCK_NB) != 0) return base::FailErrno(errno, "lock ", options.file.native());
  return std::unique_ptr<FormerPlugins>(new FormerPlugins(std::move(options), std::move(lock)));
}

base::Status FormerPlugins::Wait(const base::Context& context) {
  while (true) {
    if (!gone_) Look();
    if (gone_) return {};
    RETURN_IF_ERROR(context.Wait(-1, 0, "plugins of the daemon before this one", base::Monotonic::now() + kLook));
  }
}

void FormerPlugins::Look() {
  std::lock_guard lock(looking_);
  if (first_look_ == base::TimePoint()) first_look_ = base::Monotonic::now();
  // The lock belongs to what was opened, however many share it: alone is who gets it for himself.
  const bool alone = flock(lock_.get(), LOCK_EX | LOCK_NB) == 0;
  while (flock(lock_.get(), LOCK_SH) != 0 && errno == EINTR) {
  }
  const auto waited = base::Monotonic::now() - first_look_;
  if (!alone && waited > options_.patience) KillHolders();
  gone_ = alone || waited > options_.patience + options_.death;
}

// Those that have the file from another opening of it: our own plugins share ours. Where the kernel cannot tell (kcmp),
// none.
void FormerPlugins::KillHolders() const {
  struct stat own {};
  const auto names = base::ListFolder("/proc");
  if (!names || fstat(lock_.get(), &own) != 0) return;
  for (const std::string& name : *names) {
    const auto pid = base::ParseInt(name);
    if (!pid || *pid == getpid()) continue;
    const auto process = base::OpenPidfd(static_cast<pid_t>(*pid));
    struct stat held {};
    if (!process || stat(base::Cat("/proc/", name, "/fd/", kHeldFd).c_str(), &held) != 0) continue;
    if (held.st_dev != own.st_dev || held.st_ino != own.st_ino) continue;
    if (syscall(SYS_kcmp, getpid(), static_cast<pid_t>(*pid), KCMP_FILE, lock_.get(), kHeldFd) > 0)
      (void)base::SignalPidfd(process->get(), SIGKILL);
  }
}

}  // namespace berth::network
