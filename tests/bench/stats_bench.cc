// Reading the cgroups of a hundred containers: files opened for each reading beside files that stay open.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/strings.h"
#include "kernel/cgroup.h"
#include "server/stats/cgroup_reader.h"

namespace berth::bench {
namespace {

constexpr int kGroups = 100;
constexpr int kRounds = 200;

base::Path Group(int i) {
  return base::Cat("/berth-bench-stats/", i);
}

double Milliseconds(const std::vector<stats::CgroupReader>& readers) {
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& reader : readers) {
    if (!reader.Read(stats::Depth::kUsage)) std::fprintf(stderr, "a group cannot be read\n");
  }
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double Median(std::vector<double> times) {
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

base::Status Measure(const kernel::CgroupTree& tree) {
  std::vector<stats::CgroupReader> opening;
  std::vector<stats::CgroupReader> keeping;
  for (int i = 0; i < kGroups; ++i) {
    RETURN_IF_ERROR(tree.Create(Group(i)));
    for (auto* readers : {&opening, &keeping}) {
      ASSIGN_OR_RETURN(auto reader, stats::CgroupReader::Open(tree, Group(i), {}, readers == &keeping));
      readers->push_back(std::move(reader));
    }
  }
  std::vector<double> opened;
  std::vector<double> kept;
  for (int i = 0; i < kRounds; ++i) {
    opened.push_back(Milliseconds(opening));
    kept.push_back(Milliseconds(keeping));
  }
  std::printf("%d groups: files opened each time %.2f ms, kept open %.2f ms (p50 of %d, in turn): %.2f\n", kGroups,
              Median(opened), Median(kept), kRounds, Median(kept) / Median(opened));
  return {};
}

base::Status Run() {
  ASSIGN_OR_RETURN(const auto tree, kernel::CgroupTree::Detect());
  base::Status measured = Measure(tree);
  if (base::Status removed = tree.Remove("/berth-bench-stats"); !removed && measured) return removed;
  return measured;
}

}  // namespace
}  // namespace berth::bench

int main() {
  const auto status = berth::bench::Run();
  if (!status) std::fprintf(stderr, "%s\n", status.error().Text().c_str());
  return status ? 0 : 1;
}
