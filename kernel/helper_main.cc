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
// The parent of a process that an OCI runtime starts and leaves:
//   berth-helper adopt FOLDER PROGRAM ARGUMENT...
// Runs the program with @ among its arguments replaced by a file in FOLDER, where it writes the pid. Ends with the
// program's code when that is not 0, else with the code of the process whose pid that is (128 + n for signal n).
//
// Static, and without anything that would make its start slow: no streams, no locale, no allocation.
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
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
  const int head = snprintf(line, 128, "ok %o %u %u %u %u ", info.st_mode, info.st_uid, info.st_gid, major(info.st_rdev),
                            minor(info.st_rdev));
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

int ExitCode(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

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
  return AnswerError(EINVAL);
}
