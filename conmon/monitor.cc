#include "conmon/monitor.h"

#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace berth::conmon {
namespace {

constexpr std::chrono::milliseconds kRetry{1000};
constexpr int kEvents = 16;

}  // namespace

Monitor::Monitor(const MonitorOptions& options, MonitorMemory& memory, int signals)
    : options_(options),
      signals_(signals),
      log_(memory.log),
      out_(LogSource::kStdout, memory.out, options.log_limit, options.partial_ms),
      err_(LogSource::kStderr, memory.err, options.log_limit, options.partial_ms),
      attach_(poller_, memory.in),
      control_(poller_, kListenFd, *this) {}

bool Monitor::Adopt(Creation& creation, uint64_t start_time) {
  pid_ = creation.pid;
  start_time_ = start_time;
  out_fd_ = std::move(creation.out);
  err_fd_ = std::move(creation.err);
  attach_.SetStdin(std::move(creation.in), options_.terminal, options_.stdin_once);
  if (!poller_.Add(signals_, EPOLLIN, Source::kSignal) || !control_.Start()) return false;
  if (!poller_.Add(out_fd_.get(), EPOLLIN, Source::kStdout)) return false;
  if (err_fd_ && !poller_.Add(err_fd_.get(), EPOLLIN, Source::kStderr)) return false;
  WatchOom();
  return true;
}

void Monitor::WatchOom() {
  if (oom_.Start(options_.cgroup_root, pid_)) poller_.Add(oom_.fd(), oom_.events(), Source::kOom);
}

void Monitor::Run() {
  // The first process may have ended before the signalfd was in the set.
  ReapChildren();
  epoll_event events[kEvents];
  while (state_ != State::kDone) {
    const int count = epoll_wait(poller_.fd(), events, kEvents, WaitTime());
    for (int i = 0; i < count; ++i) {
      const uint64_t tag = events[i].data.u64;
      Dispatch(static_cast<Source>(tag >> 32), static_cast<uint32_t>(tag), events[i].events);
    }
    if (WaitTime() == 0) Tick(base::Monotonic::now());
    if (state_ == State::kDraining && !out_fd_ && !err_fd_) Finish();
    if (acknowledged_ && state_ == State::kUnwritten) state_ = State::kDone;
  }
}

void Monitor::Dispatch(Source source, uint32_t index, uint32_t events) {
  switch (source) {
    case Source::kSignal:
      return ReapChildren();
    case Source::kListen:
      return control_.OnAccept();
    case Source::kStdout:
    case Source::kStderr:
      return Read(source);
    case Source::kStdin:
      return attach_.OnStdin();
    case Source::kControl:
      return control_.OnReadable(index);
    case Source::kAttach:
      return attach_.OnClient(index, events);
    case Source::kOom:
      if (oom_.Notified()) return;
      poller_.Remove(oom_.fd());
      return oom_.Stop();
  }
}

void Monitor::Read(Source source) {
  const bool is_out = source == Source::kStdout;
  base::UniqueFd& fd = is_out ? out_fd_ : err_fd_;
  if (!fd) return;  // closed by an event before this one
  LogStream& stream = is_out ? out_ : err_;
  const auto room = stream.Room();
  const ssize_t got = read(fd.get(), room.data(), room.size());
  if (got > 0) {
    const auto data = room.first(static_cast<size_t>(got));
    attach_.Broadcast(is_out ? AttachFrame::kStdout : AttachFrame::kStderr, data);
    stream.Took(data.size(), log_);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    CloseStream(source);  // a terminal whose last user is gone says EIO
  }
}

void Monitor::CloseStream(Source source) {
  base::UniqueFd& fd = source == Source::kStdout ? out_fd_ : err_fd_;
  if (!fd) return;
  poller_.Remove(fd.get());
  fd.Reset();
  (source == Source::kStdout ? out_ : err_).FlushPartial(log_);
}

void Monitor::ReapChildren() {
  signalfd_siginfo ignored;
  while (read(signals_, &ignored, sizeof ignored) > 0) {
  }
  while (true) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (info.si_pid == pid_ && state_ == State::kRunning) {
      record_.finished_at = base::UnixNanos();
      // A cgroup without processes may be removed by others at any time, so its counter is read before the reaping.
      oom_.Refresh();
      const bool exited = info.si_code == CLD_EXITED;
      record_.code = exited ? info.si_status : 128 + info.si_status;
      record_.signal = exited ? 0 : info.si_status;
      FirstEnded();
    }
    // Everything else is an orphan that came to us as the subreaper.
    waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
}

void Monitor::FirstEnded() {
  state_ = State::kDraining;
  state_due_ = base::Monotonic::now() + std::chrono::milliseconds(options_.drain_ms);
}

int Monitor::WaitTime() const {
  const base::TimePoint due = std::min({out_.due(), err_.due(), log_retry_, state_due_});
  if (log_.failing() && log_retry_ == base::TimePoint::max()) return 0;
  if (due == base::TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - base::Monotonic::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

void Monitor::Tick(base::TimePoint now) {
  out_.Tick(now, log_);
  err_.Tick(now, log_);
  if (now >= log_retry_ && log_.failing()) log_.Recover();
  if (!log_.failing())
    log_retry_ = base::TimePoint::max();
  else if (now >= log_retry_ || log_retry_ == base::TimePoint::max())
    log_retry_ = now + kRetry;
  if (now < state_due_) return;
  if (state_ == State::kUnwritten) return Record();
  // Someone else still holds the output: one last look at what is in the pipes. Twice, because there is room for what a
  // pipe can hold less the line that is not finished yet.
  for (const Source source : {Source::kStdout, Source::kStderr}) {
    Read(source);
    Read(source);
    CloseStream(source);
  }
}

void Monitor::Finish() {
  if (log_.failing()) log_.Recover();
  record_.dropped = log_.dropped();
  record_.oom_kills = oom_.kills();
  if (oom_.fd() >= 0) poller_.Remove(oom_.fd());
  oom_.Stop();
  Record();
  attach_.End();
}

void Monitor::Record() {
  char text[kExitRecordLimit];
  const size_t size = FormatExitRecord(record_, text);
  const bool durable =
      pwrite(exit_file_.get(), text, size, 0) == static_cast<ssize_t>(size) && fdatasync(exit_file_.get()) == 0;
  const bool first = state_ == State::kDraining;
  state_ = durable ? State::kDone : State::kUnwritten;
  state_due_ = durable ? base::TimePoint::max() : base::Monotonic::now() + kRetry;
  if (durable || first) control_.NotifyExit();
}

void Monitor::Describe(Reply& reply) const {
  reply.pid = pid_;
  reply.start_time = start_time_;
  reply.dropped = log_.dropped();
  reply.oom_kills = oom_.kills();
  reply.attached = attach_.clients();
  reply.dropped_clients = attach_.dropped();
  if (state_ != State::kUnwritten && state_ != State::kDone) return;
  reply.exited = 1;
  reply.durable = state_ == State::kDone ? 1 : 0;
  reply.code = record_.code;
  reply.signal = record_.signal;
  reply.finished_at = record_.finished_at;
}

void Monitor::Handle(const Request& request, Reply& reply, base::UniqueFd& passed) {
  reply.error = Do(request, passed);
  Describe(reply);
}

int Monitor::Do(const Request& request, base::UniqueFd& passed) {
  const bool ended = state_ == State::kUnwritten || state_ == State::kDone;
  switch (request.type) {
    case MessageType::kReopenLog:
      return ended ? ESRCH : log_.Reopen();
    case MessageType::kResize:
      return ended ? ESRCH : Resize(request.a, request.b);
    case MessageType::kAttach:
      return ended ? ESRCH : attach_.Attach(request.a, passed);
    case MessageType::kCloseStdin:
      return ended ? ESRCH : attach_.CloseStdin();
    case MessageType::kAcknowledge:
      if (!ended) return EBUSY;
      acknowledged_ = true;
      return 0;
    default:
      return 0;
  }
}

int Monitor::Resize(uint32_t columns, uint32_t rows) {
  if (!options_.terminal || !out_fd_) return ENOTTY;
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  return ioctl(out_fd_.get(), TIOCSWINSZ, &size) == 0 ? 0 : errno;
}

}  // namespace berth::conmon
