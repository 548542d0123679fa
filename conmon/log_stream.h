// One output of the container on its way into the log: cuts bytes into lines and over-long lines into pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.h"
#include "conmon/log_file.h"

namespace berth::conmon {

inline constexpr size_t kStreamBuffer = 64 << 10;
inline constexpr size_t kPage = 4096;

// Static memory, page-aligned so that it can be given back to the kernel when the container is quiet.
struct alignas(kPage) StreamMemory {
  char bytes[kStreamBuffer];
};

class LogStream {
 public:
  LogStream(LogSource source, StreamMemory& memory, uint32_t limit, uint32_t partial_ms)
      : source_(source), memory_(memory), limit_(limit), partial_(partial_ms) {}

  // Where to read to; never empty.
  std::span<char> Room() const { return {memory_.bytes + carry_, kStreamBuffer - carry_}; }
  // `count` bytes were read into Room(): writes the records that they complete.
  void Took(size_t count, LogFile& log);
  // Writes an unfinished line as a piece.
  void FlushPartial(LogFile& log);

  // When Tick wants to be called.
  base::TimePoint due() const { return partial_due_ < release_due_ ? partial_due_ : release_due_; }
  void Tick(base::TimePoint now, LogFile& log);

 private:
  void Release();

  LogSource source_;
  StreamMemory& memory_;
  size_t limit_;
  std::chrono::milliseconds partial_;
  size_t carry_ = 0;   // bytes at the front that wait for the end of their line; at most limit_
  bool quiet_ = true;  // nothing large has come since release_due_ was set
  base::TimePoint partial_due_ = base::TimePoint::max();
  base::TimePoint release_due_ = base::TimePoint::max();
};

}  // namespace berth::conmon
