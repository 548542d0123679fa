// This process as the kernel sees it.
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "base/time.h"
#include "server/telemetry/metrics.h"

namespace berth::telemetry {
namespace {

constexpr double kMicro = 1e-6;

// Field `number` of /proc/<pid>/stat, counted as in proc(5); only those behind the name, which may hold anything.
int64_t StatField(std::string_view stat, size_t number) {
  const size_t name = stat.rfind(')');
  if (name == std::string_view::npos) return 0;
  const auto fields = base::Split(base::Trim(stat.substr(name + 1)), ' ');
  const size_t at = number - 3;
  return at < fields.size() ? base::ParseInt(fields[at]).value_or(0) : 0;
}

double StartTime(std::string_view stat) {
  constexpr size_t kStartTime = 22;
  timespec boot{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  const double up = static_cast<double>(boot.tv_sec) + static_cast<double>(boot.tv_nsec) * 1e-9;
  const double since_boot =
      static_cast<double>(StatField(stat, kStartTime)) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(base::UnixNanos()) * 1e-9 - up + since_boot;
}

}  // namespace

std::vector<Figure> ProcessFigures() {
  constexpr size_t kThreads = 20;
  constexpr size_t kVirtual = 23;
  constexpr size_t kResident = 24;
  const std::string stat = base::ReadFile("/proc/self/stat").value_or("");
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * kMicro;
  };
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  // Without the one that the folder is read with.
  const size_t open = base::ListFolder("/proc/self/fd").value_or(std::vector<std::string>(1)).size() - 1;
  using Kind = Figure::Kind;
  return {
      {Kind::kCounter,
       "berth_process_cpu_seconds_total",
       "Processor time of berthd.",
       {},
       seconds(usage.ru_utime) + seconds(usage.ru_stime)},
      {Kind::kGauge,
       "berth_process_resident_memory_bytes",
       "Resident memory of berthd.",
       {},
       static_cast<double>(StatField(stat, kResident) * sysconf(_SC_PAGESIZE))},
      {Kind::kGauge,
       "berth_process_virtual_memory_bytes",
       "Address space of berthd.",
       {},
       static_cast<double>(StatField(stat, kVirtual))},
      {Kind::kGauge, "berth_process_open_fds", "Open descriptors of berthd.", {}, static_cast<double>(open)},
      {Kind::kGauge,
       "berth_process_max_fds",
       "Most descriptors that berthd may have open.",
       {},
       static_cast<double>(files.rlim_cur)},
      {Kind::kGauge, "berth_process_threads", "Threads of berthd.", {}, static_cast<double>(StatField(stat, kThreads))},
      {Kind::kGauge, "berth_process_start_time_seconds", "When berthd started, as Unix time.", {}, StartTime(stat)},
  };
}

}  // namespace berth::telemetry
