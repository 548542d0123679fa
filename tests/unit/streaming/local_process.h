// A process of this machine as what a streaming server's exec starts.
#pragma once

#include <fcntl.h>

#include <memory>
#include <utility>

#include "base/child.h"
#include "server/streaming/orders.h"

namespace berth::streaming {

inline void MakeNonBlocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

class LocalProcess : public Process {
 public:
  ~LocalProcess() override {
    if (!reaped_) (void)child_.Release();
  }
  static base::Result<std::unique_ptr<Process>> Start(const ExecOrder& order) {
    auto out = std::make_unique<LocalProcess>();
    ASSIGN_OR_RETURN(base::Pipe in, base::MakePipe());
    ASSIGN_OR_RETURN(base::Pipe output, base::MakePipe());
    ASSIGN_OR_RETURN(base::Pipe errors, base::MakePipe());
    base::SpawnOptions spawn{
        .program = order.command.at(0), .arguments = order.command, .environment = {"PATH=/usr/bin:/bin"}};
    if (order.streams.input) spawn.fds.emplace_back(in.read.get(), 0);
    if (order.streams.output) spawn.fds.emplace_back(output.write.get(), 1);
    if (order.streams.errors) spawn.fds.emplace_back(errors.write.get(), 2);
    ASSIGN_OR_RETURN(out->child_, base::Spawn(spawn));
    for (const int fd : {in.write.get(), output.read.get(), errors.read.get()}) MakeNonBlocking(fd);
    if (order.streams.input) out->input = std::move(in.write);
    if (order.streams.output) out->output = std::move(output.read);
    if (order.streams.errors) out->errors = std::move(errors.read);
    return out;
  }
  int exited() const override { return child_.pidfd(); }
  base::Result<int> ExitCode() override {
    ASSIGN_OR_RETURN(const base::ExitStatus exit, child_.Wait(base::Context(), "process"));
    reaped_ = true;
    return exit.code;
  }

 private:
  base::Child child_;
  bool reaped_ = false;
};

}  // namespace berth::streaming
