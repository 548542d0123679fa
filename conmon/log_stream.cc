#include "conmon/log_stream.h"

#include <sys/mman.h>

#include <cstring>

namespace berth::conmon {
namespace {
// A buffer that was used beyond its first page is given back after this long without large reads.
constexpr std::chrono::milliseconds kReleaseAfter{1000};
}  // namespace

void LogStream::Took(size_t count, LogFile& log) {
  const size_t filled = carry_ + count;
  if (filled > kPage) {
    quiet_ = false;
    if (release_due_ == base::TimePoint::max()) release_due_ = base::Monotonic::now() + kReleaseAfter;
  }
  if (log.discards()) return;
  const bool had_carry = carry_ > 0;
  const char* at = memory_.bytes;
  const char* const end = at + filled;
  log.Begin(source_);
  while (at < end) {
    const auto rest = static_cast<size_t>(end - at);
    const void* newline = std::memchr(at, '\n', rest > limit_ ? limit_ + 1 : rest);
    if (newline != nullptr) {
      const auto length = static_cast<size_t>(static_cast<const char*>(newline) - at);
      log.Add(at, length, true);
      at += length + 1;
    } else if (rest > limit_) {
      log.Add(at, limit_, false);
      at += limit_;
    } else {
      break;
    }
  }
  log.Flush();
  const bool moved = at != memory_.bytes;
  carry_ = static_cast<size_t>(end - at);
  if (moved && carry_ > 0) std::memmove(memory_.bytes, at, carry_);
  if (carry_ == 0)
    partial_due_ = base::TimePoint::max();
  else if (moved || !had_carry)
    partial_due_ = base::Monotonic::now() + partial_;
}

void LogStream::FlushPartial(LogFile& log) {
  partial_due_ = base::TimePoint::max();
  if (carry_ == 0) return;
  log.Begin(source_);
  log.Add(memory_.bytes, carry_, false);
  log.Flush();
  carry_ = 0;
}

void LogStream::Tick(base::TimePoint now, LogFile& log) {
  if (now >= partial_due_) FlushPartial(log);
  if (now < release_due_) return;
  if (quiet_) return Release();
  quiet_ = true;
  release_due_ = now + kReleaseAfter;
}

void LogStream::Release() {
  release_due_ = base::TimePoint::max();
  const size_t keep = (carry_ + kPage - 1) / kPage * kPage;
  if (keep < kStreamBuffer) madvise(memory_.bytes + keep, kStreamBuffer - keep, MADV_DONTNEED);
}

}  // namespace berth::conmon
