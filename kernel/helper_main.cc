// berth-helper: what a threaded daemon cannot do itself.
//
// One look at (or mkdir -p of) a path that may hang for ever, in a process that can be given up:
//   berth-helper inspect PATH
//   berth-helper mkdirs MODE PATH     MODE in octal
// One answer on standard output; the path comes last because it may hold any character but NUL:
//   ok MODE UID GID MAJOR MINOR PATH\n    MODE is all of st_mode, in octal
//   none\n
//   error ERRNO\n
//
// A path that may hang, bound elsewhere; with a SPACE (a pinned user namespace) that is not empty, with the owners seen
// from there:
//   berth-helper bind SPACE TARGET SOURCE
// The answer is inspect's, of SOURCE.
//
// What is at a path that may hang, and all below, with an SELinux label:
//   berth-helper relabel LABEL PATH
// The answer is inspect's, of PATH.
//
// A process that holds new namespaces, a user namespace and those of FLAGS (CLONE_NEW…, decimal), until its input ends:
//   berth-helper hold FLAGS
// Answers "held\n" once it does, or "error ERRNO\n".
//
// The parent of a process that an OCI runtime starts and leaves:
//   berth-helper adopt FOLDER PROGRAM ARGUMENT...
// Runs the program with @ among its arguments replaced by a file in FOLDER, where it writes the pid. Ends with the
// program's code when that is not 0, else with the code of the process whose pid that is (128 + n for signal n).
//
// Static, and without anything that would make its start slow: no streams, no locale, no allocation.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

namespace {

int Answer(const char* text, size_t size) {
  // At most two paths long, which a pipe always takes whole.
  return write(STDOUT_FILENO, text, size) == static_cast<ssize_t>(size) ? 0 : 1;
}

int AnswerError(int err) {
  char line[32];
  return Answer(line, static_cast<size_t>(snprintf(line, sizeof line, "error %d\n", err)));
}

int Inspect(const char* path) {
  const int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? Answer("none\n", 5) : AnswerError(errno);
  struct stat info {};
  if (fstat(fd, &info) != 0) return AnswerError(errno);
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  static char line[PATH_MAX + 128];
  const int head = snprintf(line, 128, "ok %o %u %u %u %u ", info.st_mode, info.st_uid, info.st_gid,
                            major(info.st_rdev), minor(info.st_rdev));
  const ssize_t length = readlink(link, line + head, PATH_MAX);
  if (length < 0) return AnswerError(errno);
  if (length == PATH_MAX || line[head] != '/') return AnswerError(ENAMETOOLONG);
  line[head + length] = '\n';
  return Answer(line, static_cast<size_t>(head + length + 1));
}

int MakeFolders(char* path, mode_t mode) {
  umask(0);
  for (char* slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
    if (slash != nullptr) *slash = '\0';
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
      // A read-only or foreign parent that exists answers with its own errno before EEXIST.
      const int err = errno;
      struct stat info {};
      if (stat(path, &info) != 0) return AnswerError(err);
    }
    if (slash == nullptr) return Inspect(path);
    *slash = '/';
  }
}

int MapOwners(int tree, const char* space) {
  mount_attr mapped{};
  mapped.attr_set = MOUNT_ATTR_IDMAP;
  const int held = open(space, O_RDONLY | O_CLOEXEC);
  mapped.userns_fd = static_cast<uint64_t>(held);
  // What is mounted below keeps its owners, as the OCI specification has it for "rbind" and "idmap".
  return held < 0 ? -1 : mount_setattr(tree, "", AT_EMPTY_PATH, &mapped, sizeof mapped);
}

int Bind(const char* space, const char* target, const char* source) {
  const int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0 || (*space != '\0' && MapOwners(tree, space) != 0)) return AnswerError(errno);
  if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0) return AnswerError(errno);
  return Inspect(source);
}

// 0 or errno. Another may change the tree meanwhile: each step begins at what is open, and follows no link.
int Relabel(int dir, const char* name, const char* label) {
  const int at = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0) return errno == ENOENT ? 0 : errno;
  struct stat info {};
  int failed = fstat(at, &info) == 0 ? 0 : errno;
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", at);
  if (failed == 0 && !S_ISLNK(info.st_mode) && setxattr(link, "security.selinux", label, strlen(label) + 1, 0) != 0 &&
      errno != ENOTSUP)
    failed = errno;
  DIR* folder = nullptr;
  if (failed == 0 && S_ISDIR(info.st_mode)) {
    const int readable = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    folder = readable < 0 ? nullptr : fdopendir(readable);
    if (folder == nullptr) failed = errno;
  }
  while (failed == 0 && folder != nullptr) {
    errno = 0;
    const dirent* entry = readdir(folder);
    if (entry == nullptr) {
      failed = errno;
      break;
    }
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) failed = Relabel(at, entry->d_name, label);
  }
  if (folder != nullptr) closedir(folder);
  close(at);
  return failed;
}

int Hold(int flags) {
  // With whoever started us: nobody else would end us.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || unshare(CLONE_NEWUSER | flags) != 0) return AnswerError(errno);
  Answer("held\n", 5);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR) {
  }
  return 0;
}

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// 0 when there is none. The file is of use to nobody else.
pid_t TakePid(const char* file) {
  char text[16] = {};
  const int fd = open(file, O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  unlink(file);
  return got > 0 ? static_cast<pid_t>(strtol(text, nullptr, 10)) : 0;
}

pid_t Reap(pid_t pid, int& status) {
  pid_t ended = 0;
  do ended = waitpid(pid, &status, 0);
  while (ended < 0 && errno == EINTR);
  return ended;
}

int Adopt(const char* folder, char** argv) {
  static char pid_file[PATH_MAX];
  snprintf(pid_file, sizeof pid_file, "%s/exec-%d.pid", folder, getpid());
  for (char** argument = argv; *argument != nullptr; ++argument) {
    if (strcmp(*argument, "@") == 0) *argument = pid_file;
  }
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return 255;
  const pid_t program = vfork();
  if (program == 0) {
    execv(argv[0], argv);
    _exit(255);
  }
  // The program alone first: what it leaves can have ended already and must be there when its pid is known.
  int status = 0;
  if (Reap(program, status) < 0) return 255;
  const pid_t adopted = TakePid(pid_file);
  if (ExitCode(status) != 0) return ExitCode(status);
  for (pid_t ended = 0; ended != adopted;) {
    if ((ended = Reap(-1, status)) < 0) return 255;
  }
  return ExitCode(status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "inspect") == 0) return Inspect(argv[2]);
  if (argc >= 4 && strcmp(argv[1], "adopt") == 0) return Adopt(argv[2], argv + 3);
  if (argc == 4 && strcmp(argv[1], "mkdirs") == 0 && argv[3][0] == '/') {
    return MakeFolders(argv[3], static_cast<mode_t>(strtoul(argv[2], nullptr, 8) & 07777));
  }
  if (argc == 5 && strcmp(argv[1], "bind") == 0 && argv[4][0] == '/') return Bind(argv[2], argv[3], argv[4]);
  if (argc == 4 && strcmp(argv[1], "relabel") == 0 && argv[3][0] == '/') {
    const int failed = Relabel(AT_FDCWD, argv[3], argv[2]);
    return failed == 0 ? Inspect(argv[3]) : AnswerError(failed);
  }
  if (argc == 3 && strcmp(argv[1], "hold") == 0) return Hold(static_cast<int>(strtol(argv[2], nullptr, 10)));
  return AnswerError(EINVAL);
}
