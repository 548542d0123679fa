// berth-pause: pid 1 of a pod that shares its pid namespace. Reaps whatever is left to it and ends when told to.
#include <signal.h>
#include <sys/wait.h>

int main() {
  // Blocked and waited for: the kernel drops a signal to pid 1 that is neither handled nor blocked.
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  sigprocmask(SIG_SETMASK, &wanted, nullptr);
  while (true) {
    const int signal = sigwaitinfo(&wanted, nullptr);
    if (signal == SIGINT || signal == SIGTERM) return 0;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {}
  }
}
