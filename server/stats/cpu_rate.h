// How much of the processors a group uses at the moment, from two readings of its counter.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace berth::stats {

class CpuRate {
 public:
  // Readings closer together than this give the former rate: over a few milliseconds it says nothing.
  static constexpr std::chrono::nanoseconds kMinSpan = std::chrono::seconds(1);

  // Takes a reading (Unix nanoseconds, nanoseconds of processor time) and returns the rate in nanoseconds for each
  // second. Absent at the first reading, when the clock or the counter went back, and until readings are kMinSpan
  // apart.
  std::optional<uint64_t> Observe(int64_t time, uint64_t usage_ns);

 private:
  int64_t time_ = 0;
  uint64_t usage_ns_ = 0;
  std::optional<uint64_t> rate_;
};

}  // namespace berth::stats
