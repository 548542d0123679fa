// berth: a small client for people. Exits with the code of what ran in a container, or with 125 for failures of its
// own.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  const berth::base::Context context = berth::base::Context::Make("berth");
  std::thread([context, wanted] {
    int signal = 0;
    sigwait(&wanted, &signal);
    context.Cancel();
    // The second time nobody waits for tidying.
    sigwait(&wanted, &signal);
    _exit(128 + signal);
  }).detach();
  return berth::cli::RunCommandLine({argv + 1, argv + argc}, context);
}
