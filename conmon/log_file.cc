#include "conmon/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "conmon/text.h"

namespace berth::conmon {
namespace {

// Not through a link, and not waiting for the reader of a FIFO: the path is the caller's, the folder may not be ours
// alone.
int OpenLog(const char* path, base::UniqueFd& out) {
  const mode_t mask = umask(0);
  int fd = -1;
  do fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
  while (fd < 0 && errno == EINTR);
  const int error = errno;
  umask(mask);
  if (fd < 0) return error;
  base::UniqueFd file(fd);
  struct stat info {};
  if (fstat(fd, &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EINVAL;
  out = std::move(file);
  return 0;
}

}  // namespace

int LogFile::Open(const char* path) {
  path_ = path;
  return path == nullptr ? 0 : OpenLog(path, fd_);
}

int LogFile::Reopen() {
  if (path_ == nullptr) return 0;
  base::UniqueFd file;
  if (const int error = OpenLog(path_, file)) return error;
  if (torn_ > 0 && !WriteTorn()) AbandonTorn();
  fd_ = std::move(file);
  if (failing_) Recover();
  return 0;
}

void LogFile::Begin(LogSource source) {
  base::FormatRfc3339(base::UnixNanos(), complete_);
  std::memcpy(complete_ + base::kRfc3339Length, source == LogSource::kStdout ? " stdout F " : " stderr F ", 10);
  std::memcpy(partial_, complete_, kHeaderLength);
  partial_[kHeaderLength - 2] = 'P';
}

void LogFile::Push(const char* data, size_t size) {
  memory_.vectors[vectors_++] = {const_cast<char*>(data), size};  // NOLINT: iovec has no const form
}

void LogFile::Add(const char* data, size_t size, bool complete) {
  if (!fd_) return;
  if (vectors_ + 3 > LogMemory::kVectors) Flush();
  Push(complete ? complete_ : partial_, kHeaderLength);
  if (complete) return Push(data, size + 1);
  Push(data, size);
  Push("\n", 1);
}

size_t LogFile::Advance(size_t at, size_t count) {
  while (count > 0) {
    iovec& vector = memory_.vectors[at];
    if (IsHeader(vector)) written_of_record_ = 0;
    const size_t taken = count < vector.iov_len ? count : vector.iov_len;
    written_of_record_ += taken;
    count -= taken;
    vector.iov_base = static_cast<char*>(vector.iov_base) + taken;
    vector.iov_len -= taken;
    if (vector.iov_len == 0) ++at;
  }
  return at;
}

void LogFile::Flush() {
  size_t at = 0;
  int error = 0;
  if (vectors_ > 0 && failing_ && !Recover()) error = error_;
  while (at < vectors_ && error == 0) {
    const ssize_t wrote = writev(fd_.get(), memory_.vectors + at, static_cast<int>(vectors_ - at));
    if (wrote > 0)
      at = Advance(at, static_cast<size_t>(wrote));
    else if (wrote == 0)
      error = ENOSPC;
    else if (errno != EINTR)
      error = errno;
  }
  if (error != 0) Fail(error, at);
  vectors_ = 0;
}

void LogFile::Fail(int error, size_t at) {
  failing_ = true;
  error_ = error;
  // What is left of the record in the middle of which the disk gave up.
  for (; at < vectors_ && !IsHeader(memory_.vectors[at]); ++at) {
    const iovec& vector = memory_.vectors[at];
    std::memcpy(memory_.torn + torn_, vector.iov_base, vector.iov_len);
    torn_ += vector.iov_len;
  }
  for (; at < vectors_; ++at) {
    if (!IsHeader(memory_.vectors[at])) continue;
    ++dropped_;
    ++unsaid_;
  }
}

bool LogFile::WriteTorn() {
  while (torn_ > 0) {
    const ssize_t wrote = write(fd_.get(), memory_.torn, torn_);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      error_ = wrote == 0 ? ENOSPC : errno;
      return false;
    }
    torn_ -= static_cast<size_t>(wrote);
    written_of_record_ += static_cast<size_t>(wrote);
    std::memmove(memory_.torn, memory_.torn + wrote, torn_);
  }
  return true;
}

void LogFile::AbandonTorn() {
  // Nobody writes to the old file any more, and a file that ends in the middle of a record helps no reader.
  const off_t end = lseek(fd_.get(), 0, SEEK_END);
  if (end >= static_cast<off_t>(written_of_record_)) {
    (void)!ftruncate(fd_.get(), end - static_cast<off_t>(written_of_record_));
  }
  torn_ = 0;
  ++dropped_;
  ++unsaid_;
}

bool LogFile::Recover() {
  if (!WriteTorn()) return false;
  if (unsaid_ > 0) {
    Text<256> notice;
    char time[base::kRfc3339Length];
    base::FormatRfc3339(base::UnixNanos(), time);
    notice.Add({time, sizeof time}).Add(" stderr F berth: ").Add(unsaid_).Add(" log records were dropped: ");
    const char* cause = strerrordesc_np(error_);
    notice.Add(cause != nullptr ? cause : "unknown error").Add("\n");
    const ssize_t wrote = write(fd_.get(), notice.c_str(), notice.size());
    if (wrote <= 0) return false;
    unsaid_ = 0;
    written_of_record_ = static_cast<size_t>(wrote);
    torn_ = notice.size() - written_of_record_;
    std::memcpy(memory_.torn, notice.c_str() + wrote, torn_);
    if (!WriteTorn()) return false;
  }
  failing_ = false;
  return true;
}

}  // namespace berth::conmon
