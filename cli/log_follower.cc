#include "cli/log_follower.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

namespace berth::cli {
namespace {

using std::chrono::milliseconds;

// The file as far as it was read. Rotation is seen by the inode at the path.
class OpenLog {
 public:
  OpenLog(base::Path path, const EmitRecord& emit) : path_(std::move(path)), emit_(emit) {}

  bool is_open() const { return fd_.valid(); }
  const base::Path& path() const { return path_; }

  base::Status Open() {
    auto fd = base::Open(path_, O_RDONLY | O_NONBLOCK);
    if (!fd && fd.error().err == ENOENT) return {};
    if (!fd) return tl::make_unexpected(std::move(fd).error());
    fd_ = *std::move(fd);
    offset_ = 0;
    lines_.Clear();
    return {};
  }

  // True when another file is at the path by now.
  bool Replaced() const {
    struct stat ours, there;
    if (!fd_.valid() || fstat(fd_.get(), &ours) != 0 || stat(path_.c_str(), &there) != 0) return false;
    return ours.st_ino != there.st_ino || ours.st_dev != there.st_dev;
  }

  // Emits what was appended; the number of bytes.
  base::Result<size_t> Read() {
    if (!fd_.valid()) return 0;
    struct stat now;
    if (fstat(fd_.get(), &now) == 0 && now.st_size < offset_) {
      offset_ = 0;
      lines_.Clear();
    }
    size_t total = 0;
    std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t count = pread(fd_.get(), buffer.data(), buffer.size(), offset_);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return base::FailErrno(errno, "read ", path_.string());
      if (count == 0) return total;
      offset_ += count;
      total += static_cast<size_t>(count);
      lines_.Append({buffer.data(), static_cast<size_t>(count)});
      while (const auto line = lines_.Next()) {
        if (const auto record = ParseLogRecord(*line)) emit_(*record);
      }
    }
  }

 private:
  const base::Path path_;
  const EmitRecord& emit_;
  base::UniqueFd fd_;
  off_t offset_ = 0;
  LineBuffer lines_;
};

// Takes all events that are there. True when some writer has closed a file that is not at the path any more (rotation),
// or the one that is (end of the container), or events were lost.
bool TakeEvents(int inotify) {
  alignas(inotify_event) std::array<char, 16384> buffer;
  bool closed = false;
  for (;;) {
    const ssize_t count = read(inotify, buffer.data(), buffer.size());
    if (count <= 0) return closed;
    for (ssize_t at = 0; at < count;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      closed = closed || (event->mask & (IN_CLOSE_WRITE | IN_Q_OVERFLOW)) != 0;
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
}

// When to ask whether the container has ended: at the beginning, and from the moment a writer closed the file until
// there is an answer or the file grows again. The daemon needs a moment between the two, so it is asked again a little
// later.
class Question {
 public:
  bool due() const { return asking_ && base::Monotonic::now() >= next_; }
  base::TimePoint next() const { return asking_ ? next_ : base::TimePoint::max(); }
  void Begin() {
    asking_ = true;
    delay_ = milliseconds(20);
    next_ = base::Monotonic::now();
  }
  void Later() {
    next_ = base::Monotonic::now() + delay_;
    delay_ = std::min(delay_ * 2, milliseconds(1000));
  }
  void Stop() { asking_ = false; }

 private:
  bool asking_ = false;
  milliseconds delay_{0};
  base::TimePoint next_;
};

// Reads on in the new file once the old one is complete: its writer opens the new one first and closes the old one
// then. Should the close be missed, a second is time enough for it.
class Rotation {
 public:
  base::TimePoint limit() const { return limit_ ? *limit_ : base::TimePoint::max(); }
  bool Complete(bool replaced, bool closed) {
    if (!replaced) {
      limit_.reset();
      return false;
    }
    if (!limit_) limit_ = base::Monotonic::now() + std::chrono::seconds(1);
    return closed || base::Monotonic::now() >= *limit_;
  }

 private:
  std::optional<base::TimePoint> limit_;
};

}  // namespace

base::Status ReadLog(const base::Path& path, const EmitRecord& emit) {
  OpenLog log(path, emit);
  RETURN_IF_ERROR(log.Open());
  ASSIGN_OR_RETURN([[maybe_unused]] const size_t count, log.Read());
  return {};
}

base::Status FollowLog(const base::Path& path, const HasEnded& has_ended, const EmitRecord& emit,
                       const base::Context& context) {
  const base::UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify) return base::FailErrno(errno, "inotify");
  if (inotify_add_watch(inotify.get(), path.parent_path().c_str(),
                        IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
    return base::FailErrno(errno, "watch ", path.parent_path().string());

  OpenLog log(path, emit);
  Question question;
  Rotation rotation;
  question.Begin();
  for (bool closed = false;;) {
    bool ended = false;
    if (question.due()) {
      ASSIGN_OR_RETURN(ended, has_ended());
      question.Later();
    }
    if (!log.is_open()) RETURN_IF_ERROR(log.Open());
    ASSIGN_OR_RETURN(const size_t count, log.Read());
    if (rotation.Complete(log.Replaced(), closed || ended)) {
      // Once more, for what came between the reading and the close.
      ASSIGN_OR_RETURN([[maybe_unused]] const size_t rest, log.Read());
      RETURN_IF_ERROR(log.Open());
      ASSIGN_OR_RETURN([[maybe_unused]] const size_t first, log.Read());
      question.Begin();
      closed = false;
      if (!ended) continue;
    }
    if (ended) return {};
    if (closed)
      question.Begin();
    else if (count > 0)
      question.Stop();
    const base::TimePoint until = std::min(question.next(), rotation.limit());
    ASSIGN_OR_RETURN([[maybe_unused]] const bool ready, context.Wait(inotify.get(), POLLIN, "log", until));
    closed = TakeEvents(inotify.get());
  }
}

}  // namespace berth::cli
