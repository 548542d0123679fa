#include "server/stats/cpu_rate.h"

namespace berth::stats {

std::optional<uint64_t> CpuRate::Observe(int64_t time, uint64_t usage_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  if (time_ == 0 || time < time_ || usage_ns < usage_ns_) {
    rate_.reset();
  } else if (time - time_ < kMinSpan.count()) {
    return rate_;
  } else {
    // 128 bits: a large host's processors over minutes do not fit into 64.
    __extension__ using Wide = unsigned __int128;
    rate_ = static_cast<uint64_t>(Wide{usage_ns - usage_ns_} * kSecond / static_cast<uint64_t>(time - time_));
  }
  time_ = time;
  usage_ns_ = usage_ns;
  return rate_;
}

}  // namespace berth::stats
