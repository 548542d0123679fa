// Clocks and how times are written.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace berth::base {

using Monotonic = std::chrono::steady_clock;
using TimePoint = Monotonic::time_point;

// Nanoseconds since the Unix epoch, as CRI timestamps are.
int64_t UnixNanos();

// RFC 3339 in UTC with exactly nine fractional digits: 2016-10-06T00:17:09.669794202Z. Writes 30 bytes, no NUL.
inline constexpr int kRfc3339Length = 30;
void FormatRfc3339(int64_t unix_nanos, char* out);
std::string Rfc3339(int64_t unix_nanos);

}  // namespace berth::base
