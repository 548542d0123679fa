// The container's log file: whole records in, never a torn or interleaved one out, and never an error that stops a
// reader.
//
// Format: Kubernetes' CRI log, "<time> <stream> <tag> <content>\n", time in UTC with nine digits, tag F for a whole
// line and P for a piece of one.
//
// When the disk refuses a write, the rest of the record that was half written is kept and finished before anything
// else; records that come meanwhile are dropped whole and counted, and once writing works again a record on stderr says
// how many.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "base/unique_fd.h"
#include "conmon/options.h"

namespace berth::conmon {

enum class LogSource : uint8_t { kStdout, kStderr };

// The memory that a LogFile works in: static, so that untouched pages cost nothing.
struct LogMemory {
  static constexpr size_t kVectors = 1024;  // IOV_MAX
  iovec vectors[kVectors];
  char torn[kLogLimitMax + 64];
};

class LogFile {
 public:
  explicit LogFile(LogMemory& memory) : memory_(memory) {}

  // Opens for appending, makes the file 0640 when missing. Returns an errno or 0; on an error, what was open stays in
  // use. A null path means that everything is discarded.
  int Open(const char* path);
  // Opens the same path anew, then lets go of the old file. Returns an errno or 0.
  int Reopen();
  bool discards() const { return path_ == nullptr; }

  // A batch: records of one source with one time. Data must stay in place until Flush.
  void Begin(LogSource source);
  // `size` bytes of content. A complete one is followed by its newline in memory, at data[size].
  void Add(const char* data, size_t size, bool complete);
  void Flush();

  bool failing() const { return failing_; }
  // After a failure: finishes the torn record and says what was dropped. True when nothing is owed any more.
  bool Recover();
  uint64_t dropped() const { return dropped_; }

 private:
  static constexpr size_t kHeaderLength = base::kRfc3339Length + 10;  // " stdout F "

  bool IsHeader(const iovec& vector) const { return vector.iov_base == complete_ || vector.iov_base == partial_; }
  void Push(const char* data, size_t size);
  // Takes `count` written bytes off the batch, which starts at vector `at`.
  size_t Advance(size_t at, size_t count);
  void Fail(int error, size_t at);
  bool WriteTorn();
  void AbandonTorn();

  LogMemory& memory_;
  const char* path_ = nullptr;
  base::UniqueFd fd_;
  char complete_[kHeaderLength] = {};
  char partial_[kHeaderLength] = {};
  size_t vectors_ = 0;
  size_t written_of_record_ = 0;  // bytes in the file of the record that is being written
  size_t torn_ = 0;               // bytes that the file still lacks of it
  bool failing_ = false;
  int error_ = 0;
  uint64_t dropped_ = 0;
  uint64_t unsaid_ = 0;  // dropped and not yet told in the log
};

}  // namespace berth::conmon
