// berth-pause: pid 1 of a pod that shares its pid namespace. Reaps whatever is left to it and ends when told to.
//
//   berth-pause         the caller has made the pid namespace: isolates itself
//   berth-pause enter   for a pod with a user namespace, which is open as descriptor 3: enters it, makes the pid
//   namespace there and
//                       goes on as the caller's child in it; the first message is that child's pid
//
// The pod's containers see it as /proc/1, so it must lead nowhere: it ends up with an empty root, no identity, no
// capability, no descriptor, not dumpable, and on a read-only mount of its own program.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// A socket to whoever started us. They send a byte once they have written down that we exist; we send one of value 0
// when we are isolated, or else errno and the step that failed.
constexpr int kControl = 0;
constexpr int kUserNamespace = 3;
constexpr uid_t kNobody = 65534;

void Need(bool done, const char* step) {
  if (done) return;
  char message[32] = {static_cast<char>(errno)};
  strncpy(message + 1, step, sizeof message - 2);
  send(kControl, message, 1 + strlen(message + 1), MSG_NOSIGNAL);
  _exit(1);
}

void AwaitGo() {
  char go = 0;
  ssize_t got = 0;
  do got = read(kControl, &go, 1);
  while (got < 0 && errno == EINTR);
  // End of file: they died before we were on record, and nobody else would end us.
  if (got != 1) _exit(1);
}

// Without CAP_SYS_RESOURCE it stays at what was inherited.
void SpareFromOomKiller() {
  const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)!write(file, "-998", 4);
  close(file);
}

// Our program behind a read-only mount that is in no namespace. To be asked for while the host's mounts are still ours.
int OpenReadOnlySelf() {
  const int self = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  Need(self >= 0, "open_tree");
  mount_attr read_only{.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                       .attr_clr = 0,
                       .propagation = 0,
                       .userns_fd = 0};
  Need(mount_setattr(self, "", AT_EMPTY_PATH, &read_only, sizeof read_only) == 0, "mount_setattr");
  return self;
}

void EnterEmptyRoot() {
  Need(unshare(CLONE_NEWNS) == 0, "unshare");
  Need(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make private");
  // Any folder will do to mount on; this one every host has.
  Need(mount("berth-pause", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
             "mode=0555,size=4k,nr_inodes=2") == 0,
       "mount tmpfs");
  Need(chdir("/proc") == 0, "chdir");
  Need(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  // The old root now lies on top of the new one.
  Need(umount2(".", MNT_DETACH) == 0, "detach root");
  Need(chdir("/") == 0, "chdir");
}

void DropPrivileges() {
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    Need(errno == EINVAL, "drop bounding set");  // the kernel knows no more
    break;
  }
  Need(setgroups(0, nullptr) == 0, "setgroups");
  Need(setresgid(kNobody, kNobody, kNobody) == 0, "setresgid");
  Need(setresuid(kNobody, kNobody, kNobody) == 0, "setresuid");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  Need(syscall(SYS_capset, &header, none) == 0, "capset");
  Need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  Need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
}

void GoOnIsolated(int self) {
  char name[] = "berth-pause";
  char isolated[] = "isolated";
  char* const arguments[] = {name, isolated, nullptr};
  char* const environment[] = {nullptr};
  execveat(self, "", arguments, environment, AT_EMPTY_PATH);
  Need(false, "execveat");
}

// Everything that takes the host's root comes before; the rest needs no more than the pod's.
[[noreturn]] void EnterUserNamespace() {
  SpareFromOomKiller();
  const int self = OpenReadOnlySelf();
  EnterEmptyRoot();
  Need(setns(kUserNamespace, CLONE_NEWUSER) == 0, "enter user namespace");
  // The host's root is nobody there, and would lose all capabilities with the next program.
  Need(setgroups(0, nullptr) == 0 && setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "become the pod's root");
  Need(unshare(CLONE_NEWPID) == 0, "make pid namespace");
  close(kUserNamespace);
  const long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  Need(child >= 0, "clone");
  if (child == 0) {
    setsid();
    AwaitGo();
    GoOnIsolated(self);
  }
  char message[16];
  const int size = snprintf(message, sizeof message, "pid %ld", child);
  send(kControl, message, static_cast<size_t>(size), MSG_NOSIGNAL);
  _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  // Blocked and waited for: the kernel drops a signal to pid 1 that is neither handled nor blocked.
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  sigprocmask(SIG_SETMASK, &wanted, nullptr);
  if (argc == 1) {
    AwaitGo();
    SpareFromOomKiller();
    const int self = OpenReadOnlySelf();
    EnterEmptyRoot();
    GoOnIsolated(self);
  }
  if (argc == 2 && strcmp(argv[1], "enter") == 0) EnterUserNamespace();
  prctl(PR_SET_NAME, "berth-pause", 0, 0, 0);
  DropPrivileges();
  const char isolated = 0;
  if (send(kControl, &isolated, 1, MSG_NOSIGNAL) != 1) return 1;
  for (int fd = 0; fd <= 2; ++fd) close(fd);

  while (true) {
    const int signal = sigwaitinfo(&wanted, nullptr);
    if (signal == SIGINT || signal == SIGTERM) return 0;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}
