// One container's monitor after its creation: everything that happens until the container has ended and berthd can
// know.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "base/unique_fd.h"
#include "conmon/attach.h"
#include "conmon/control.h"
#include "conmon/create.h"
#include "conmon/exit_record.h"
#include "conmon/log_file.h"
#include "conmon/log_stream.h"
#include "conmon/oom_watch.h"
#include "conmon/poller.h"

namespace berth::conmon {

// All large buffers: zero-initialised static memory, so that what is never touched is never there.
struct MonitorMemory {
  StreamMemory out;
  StreamMemory err;
  StdinMemory in;
  LogMemory log;
};

class Monitor final : private ControlHandler {
 public:
  Monitor(const MonitorOptions& options, MonitorMemory& memory, int signals);

  // Opens the log. Returns an errno or 0.
  int OpenLog() { return log_.Open(options_.log); }
  // Takes over the descriptors of what was created; false, with errno set, when there are no descriptors or memory for
  // it.
  bool Adopt(Creation& creation, uint64_t start_time);
  // Returns when the exit record is durable and told, or was acknowledged.
  void Run();

 private:
  enum class State {
    kRunning,    // the first process lives
    kDraining,   // it has ended, others may still hold its output
    kUnwritten,  // the record could not be made durable: kept, served, tried again
    kDone,
  };

  void Handle(const Request& request, Reply& reply, base::UniqueFd& passed) override;
  void Describe(Reply& reply) const override;
  int Do(const Request& request, base::UniqueFd& passed);
  int Resize(uint32_t columns, uint32_t rows);

  void Dispatch(Source source, uint32_t index, uint32_t events);
  void Read(Source source);
  void CloseStream(Source source);
  void ReapChildren();
  void FirstEnded();
  void WatchOom();
  void Tick(base::TimePoint now);
  int WaitTime() const;
  void Finish();
  void Record();

  const MonitorOptions& options_;
  int signals_;
  Poller poller_;
  base::UniqueFd exit_file_{kExitFd};
  LogFile log_;
  LogStream out_;
  LogStream err_;
  AttachHub attach_;
  ControlServer control_;
  OomWatch oom_;
  base::UniqueFd out_fd_;  // with a terminal its master
  base::UniqueFd err_fd_;
  State state_ = State::kRunning;
  pid_t pid_ = -1;
  uint64_t start_time_ = 0;
  ExitRecord record_;
  bool acknowledged_ = false;
  base::TimePoint log_retry_ = base::TimePoint::max();
  base::TimePoint state_due_ = base::TimePoint::max();  // end of the drain, or next try to write the record
};

}  // namespace berth::conmon
