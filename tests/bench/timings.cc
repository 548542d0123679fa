#include "tests/bench/timings.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace berth::bench {

void Timings::Time(const std::string& name, const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  Add(name, std::chrono::steady_clock::now() - start);
}

double Timings::Percentile(const std::string& name, double percent) const {
  const auto found = times_.find(name);
  if (found == times_.end()) return 0;
  auto sorted = found->second;
  std::ranges::sort(sorted);
  const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return std::chrono::duration<double, std::milli>(sorted[std::max<size_t>(rank, 1) - 1]).count();
}

void Timings::Print(const std::string& title, const std::string& name) const {
  const auto found = times_.find(name);
  const size_t count = found == times_.end() ? 0 : found->second.size();
  std::printf("  %-46s n %4zu   p50 %8.2f ms   p90 %8.2f ms   max %8.2f ms\n", title.c_str(), count,
              Percentile(name, 50), Percentile(name, 90), Percentile(name, 100));
}

void PrintFigure(const std::string& title, double value, const std::string& unit) {
  std::printf("  %-46s %.2f %s\n", title.c_str(), value, unit.c_str());
}

void PrintRatio(const std::string& title, double value, double floor, double goal) {
  const double ratio = floor > 0 ? value / floor : 0;
  std::printf("  %-46s %.2f ms / %.2f ms = %.2f (goal %.2f: %s)\n", title.c_str(), value, floor, ratio, goal,
              ratio > 0 && ratio <= goal ? "met" : "MISSED");
}

}  // namespace berth::bench
