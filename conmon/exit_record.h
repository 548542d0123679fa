// The exit record: what the monitor makes durable before it tells anyone that the container ended.
//
// One small text at offset 0 of a file whose blocks were allocated when the container was made, written by one pwrite:
//
//   berth-exit 1
//   code=137
//   signal=9
//   oom=1
//   dropped=0
//   at=1700000000123456789
//   end
//
// Behind it the file holds zero bytes. A text without its last line was torn by a crash and counts as no record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace berth::conmon {

struct ExitRecord {
  int32_t code = 0;         // 0 to 255; 128 + n for death by signal n
  int32_t signal = 0;       // 0 unless a signal ended it
  uint64_t oom_kills = 0;   // of the container's cgroup, by the kernel's counter
  uint64_t dropped = 0;     // log records that could not be written
  int64_t finished_at = 0;  // nanoseconds since the Unix epoch
  bool operator==(const ExitRecord&) const = default;
};

inline constexpr size_t kExitRecordLimit = 256;  // bytes of the longest record; less than one sector
inline constexpr size_t kExitFileSize = 4096;    // bytes allocated when the file is made

// Writes the record as text; returns its length.
size_t FormatExitRecord(const ExitRecord& record, std::span<char, kExitRecordLimit> out);

// Nothing for an empty, zeroed, torn or foreign content. Never fails otherwise.
std::optional<ExitRecord> ParseExitRecord(std::string_view content);

}  // namespace berth::conmon
