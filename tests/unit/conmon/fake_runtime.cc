// Stands in for an OCI runtime's create: starts a shell command, writes the pid file and leaves. With a terminal it
// opens one first, sends its master to the console socket and starts the command on it. (A shell would do it, but reaps
// what ends before itself.)
//   conmon_fake_runtime <console socket, or - for no terminal> <pid file> <command>
// And for a bundle without any other file, it is the container of a real runtime:
//   conmon_fake_runtime --container
//   conmon_fake_runtime --eat            takes memory without end
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string_view>

namespace {

bool SendMaster(const char* path, int master) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof address.sun_path) return false;
  std::strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  char name[] = "/dev/pts/x";
  iovec part = {name, sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &master, sizeof master);
  return sendmsg(fd, &message, 0) > 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--container") {
    if (isatty(1)) return write(1, "a terminal\n", 11) == 11 ? 0 : 1;
    return write(1, "hello\n", 6) == 6 && write(2, "oops\n", 5) == 5 ? 11 : 1;
  }
  while (argc == 2 && std::string_view(argv[1]) == "--eat") {
    // Volatile: memory that nobody reads need not be written, thinks a compiler.
    const size_t size = 1 << 20;
    volatile char* memory = static_cast<volatile char*>(malloc(size));
    for (size_t at = 0; memory != nullptr && at < size; at += 4096) memory[at] = 1;
  }
  if (argc != 4) return 2;
  const bool terminal = std::string_view(argv[1]) != "-";
  int slave = -1;
  if (terminal) {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return 3;
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || !SendMaster(argv[1], master)) return 4;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    if (terminal) {
      setsid();
      ioctl(slave, TIOCSCTTY, 0);
      for (int fd = 0; fd < 3; ++fd) dup2(slave, fd);
    }
    execl("/bin/sh", "sh", "-c", argv[3], nullptr);
    _exit(127);
  }
  std::ofstream(argv[2]) << pid;
  return 0;
}
