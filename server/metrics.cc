#include "server/metrics.h"

#include <array>
#include <initializer_list>
#include <string>

namespace berth::server {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr std::array<std::string_view, 5> kBaseLabels = {"id", "image", "namespace", "pod", "container"};

// Where a row puts its values.
class Sink {
 public:
  Sink(std::string_view name, cri::MetricType type, int64_t time, const BaseLabels& labels, MetricList& out)
      : name_(name), type_(type), time_(time), labels_(labels), out_(out) {}

  void Add(uint64_t value, std::initializer_list<std::string_view> more = {}) {
    cri::Metric& metric = *out_.Add();
    metric.set_name(std::string(name_));
    metric.set_timestamp(time_);
    metric.set_metric_type(type_);
    for (const std::string* label :
         {&labels_.id, &labels_.image, &labels_.namespace_name, &labels_.pod, &labels_.container}) {
      metric.add_label_values(*label);
    }
    for (const std::string_view label : more) metric.add_label_values(std::string(label));
    metric.mutable_value()->set_value(value);
  }
  void Add(const std::optional<uint64_t>& value, std::initializer_list<std::string_view> more = {}) {
    if (value) Add(*value, more);
  }
  void AddSeconds(uint64_t nanoseconds, std::initializer_list<std::string_view> more = {}) {
    Add(nanoseconds / kSecond, more);
  }

 private:
  const std::string_view name_;
  const cri::MetricType type_;
  const int64_t time_;
  const BaseLabels& labels_;
  MetricList& out_;
};

using Figures = ContainerFigures;
struct Row {
  const char* name;
  const char* help;
  cri::MetricType type;
  std::vector<std::string_view> labels;  // beside the base's
  void (*fill)(const Figures&, Sink&);
};

template <uint64_t stats::MemoryStats::*member>
void Memory(const Figures& figures, Sink& out) {
  if (figures.stats.memory) out.Add((*figures.stats.memory).*member);
}
template <std::optional<uint64_t> stats::MemoryStats::*member>
void MemoryIfKnown(const Figures& figures, Sink& out) {
  if (figures.stats.memory) out.Add((*figures.stats.memory).*member);
}
template <uint64_t stats::CpuStats::Throttling::*member>
void Throttling(const Figures& figures, Sink& out) {
  if (figures.stats.cpu && figures.stats.cpu->throttling) out.Add((*figures.stats.cpu->throttling).*member);
}
template <std::optional<uint64_t> stats::CpuStats::*member>
void CpuSeconds(const Figures& figures, Sink& out) {
  if (figures.stats.cpu && (*figures.stats.cpu).*member) out.AddSeconds(*((*figures.stats.cpu).*member));
}
// One value for each device.
template <uint64_t stats::DeviceIo::*member>
void Io(const Figures& figures, Sink& out) {
  for (size_t i = 0; i < figures.stats.io.size(); ++i) out.Add(figures.stats.io[i].*member, {figures.io_devices[i]});
}
template <uint64_t Figures::FileSystem::*member>
void FileSystem(const Figures& figures, Sink& out) {
  if (figures.file_system) out.Add((*figures.file_system).*member, {figures.file_system->device});
}
// Of limits: 0 stands for none.
template <std::optional<uint64_t> stats::CgroupLimits::*member>
void LimitOrNone(const Figures& figures, Sink& out) {
  out.Add((figures.limits.*member).value_or(0));
}
template <std::optional<uint64_t> stats::CgroupLimits::*member>
void LimitIfKnown(const Figures& figures, Sink& out) {
  out.Add(figures.limits.*member);
}
void PressureSeconds(const std::optional<stats::PressureLine>& line, Sink& out) {
  if (line) out.AddSeconds(line->total_ns);
}

const std::vector<Row>& Rows() {
  using stats::CgroupLimits;
  using stats::CpuStats;
  using stats::DeviceIo;
  using stats::MemoryStats;
  constexpr cri::MetricType kCounter = cri::COUNTER;
  constexpr cri::MetricType kGauge = cri::GAUGE;
  static const std::vector<Row> rows = {
      {"container_cpu_user_seconds_total",
       "Processor time spent in user mode, in seconds",
       kCounter,
       {},
       CpuSeconds<&CpuStats::user_ns>},
      {"container_cpu_system_seconds_total",
       "Processor time spent in the kernel, in seconds",
       kCounter,
       {},
       CpuSeconds<&CpuStats::system_ns>},
      {"container_cpu_usage_seconds_total",
       "Processor time used, in seconds",
       kCounter,
       {"cpu"},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.cpu) out.AddSeconds(figures.stats.cpu->usage_ns, {"total"});
       }},
      {"container_cpu_cfs_periods_total",
       "Scheduling periods in which a quota was in force",
       kCounter,
       {},
       Throttling<&CpuStats::Throttling::periods>},
      {"container_cpu_cfs_throttled_periods_total",
       "Scheduling periods in which the quota was used up",
       kCounter,
       {},
       Throttling<&CpuStats::Throttling::throttled_periods>},
      {"container_cpu_cfs_throttled_seconds_total",
       "Time throttled by the quota, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.cpu && figures.stats.cpu->throttling)
           out.AddSeconds(figures.stats.cpu->throttling->throttled_ns);
       }},
      {"container_fs_inodes_free",
       "Free inodes of the file system of the writable layer",
       kGauge,
       {"device"},
       FileSystem<&Figures::FileSystem::inodes_free>},
      {"container_fs_inodes_total",
       "Inodes of the file system of the writable layer",
       kGauge,
       {"device"},
       FileSystem<&Figures::FileSystem::inodes>},
      {"container_fs_limit_bytes",
       "Size of the file system of the writable layer",
       kGauge,
       {"device"},
       FileSystem<&Figures::FileSystem::bytes>},
      {"container_fs_usage_bytes",
       "Bytes used by the writable layer",
       kGauge,
       {"device"},
       [](const Figures& figures, Sink& out) {
         if (figures.file_system && figures.layer) out.Add(figures.layer->bytes, {figures.file_system->device});
       }},
      {"container_fs_reads_total", "Reads completed", kCounter, {"device"}, Io<&DeviceIo::reads>},
      {"container_fs_writes_total", "Writes completed", kCounter, {"device"}, Io<&DeviceIo::writes>},
      {"container_fs_reads_bytes_total", "Bytes read", kCounter, {"device"}, Io<&DeviceIo::read_bytes>},
      {"container_fs_writes_bytes_total", "Bytes written", kCounter, {"device"}, Io<&DeviceIo::write_bytes>},
      {"container_blkio_device_usage_total",
       "Bytes moved to and from a device",
       kCounter,
       {"device", "major", "minor", "operation"},
       [](const Figures& figures, Sink& out) {
         for (size_t i = 0; i < figures.stats.io.size(); ++i) {
           const DeviceIo& io = figures.stats.io[i];
           const std::string major = std::to_string(io.major);
           const std::string minor = std::to_string(io.minor);
           out.Add(io.read_bytes, {figures.io_devices[i], major, minor, "read"});
           out.Add(io.write_bytes, {figures.io_devices[i], major, minor, "write"});
           out.Add(io.discard_bytes, {figures.io_devices[i], major, minor, "discard"});
         }
       }},
      {"container_hugetlb_usage_bytes",
       "Huge pages in use, in bytes",
       kGauge,
       {"pagesize"},
       [](const Figures& figures, Sink& out) {
         for (const stats::HugePages& pages : figures.stats.huge_pages) out.Add(pages.usage, {pages.size});
       }},
      {"container_hugetlb_max_usage_bytes",
       "Most huge pages ever in use, in bytes",
       kGauge,
       {"pagesize"},
       [](const Figures& figures, Sink& out) {
         for (const stats::HugePages& pages : figures.stats.huge_pages) out.Add(pages.peak, {pages.size});
       }},
      {"container_memory_cache", "Page cache, in bytes", kGauge, {}, Memory<&MemoryStats::cache>},
      {"container_memory_rss", "Memory behind which no file stands, in bytes", kGauge, {}, Memory<&MemoryStats::rss>},
      {"container_memory_kernel_usage",
       "Memory of the kernel on behalf of the container, in bytes",
       kGauge,
       {},
       Memory<&MemoryStats::kernel>},
      {"container_memory_mapped_file",
       "Memory of mapped files, in bytes",
       kGauge,
       {},
       Memory<&MemoryStats::mapped_file>},
      {"container_memory_swap", "Swap in use, in bytes", kGauge, {}, MemoryIfKnown<&MemoryStats::swap>},
      {"container_memory_failcnt",
       "How often the memory limit was hit",
       kCounter,
       {},
       MemoryIfKnown<&MemoryStats::fail_count>},
      {"container_memory_usage_bytes",
       "Memory in use, caches included, in bytes",
       kGauge,
       {},
       Memory<&MemoryStats::usage>},
      {"container_memory_max_usage_bytes",
       "Most memory ever in use, in bytes",
       kGauge,
       {},
       MemoryIfKnown<&MemoryStats::peak>},
      {"container_memory_working_set_bytes",
       "Memory in use without inactive file caches, in bytes",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.memory) out.Add(figures.stats.memory->working_set());
       }},
      {"container_memory_total_active_file_bytes",
       "Page cache in active use, in bytes",
       kGauge,
       {},
       Memory<&MemoryStats::active_file>},
      {"container_memory_total_inactive_file_bytes",
       "Page cache not in active use, in bytes",
       kGauge,
       {},
       Memory<&MemoryStats::inactive_file>},
      {"container_memory_failures_total",
       "Page faults",
       kCounter,
       {"failure_type", "scope"},
       [](const Figures& figures, Sink& out) {
         if (!figures.stats.memory) return;
         for (const char* scope : {"container", "hierarchy"}) {
           out.Add(figures.stats.memory->page_faults, {"pgfault", scope});
           out.Add(figures.stats.memory->major_page_faults, {"pgmajfault", scope});
         }
       }},
      {"container_oom_events_total",
       "Processes killed for want of memory",
       kCounter,
       {},
       MemoryIfKnown<&MemoryStats::oom_kills>},
      {"container_file_descriptors",
       "Open files of all processes",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) { out.Add(figures.processes.descriptors); }},
      {"container_processes",
       "Processes",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) { out.Add(figures.processes.processes); }},
      {"container_sockets",
       "Open sockets of all processes",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) { out.Add(figures.processes.sockets); }},
      {"container_threads",
       "Threads of all processes",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.pids) out.Add(figures.stats.pids->current);
       }},
      {"container_threads_max",
       "Most threads allowed; 0 for no limit",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.pids) out.Add(figures.stats.pids->limit.value_or(0));
       }},
      {"container_ulimits_soft",
       "Soft limits of the first process",
       kGauge,
       {"ulimit"},
       [](const Figures& figures, Sink& out) { out.Add(figures.open_files_limit, {"max_open_files"}); }},
      {"container_spec_cpu_period",
       "Scheduling period, in microseconds",
       kGauge,
       {},
       LimitIfKnown<&CgroupLimits::cpu_period_us>},
      {"container_spec_cpu_shares", "Processor shares", kGauge, {}, LimitIfKnown<&CgroupLimits::cpu_shares>},
      {"container_spec_cpu_quota",
       "Processor time allowed in a period, in microseconds",
       kGauge,
       {},
       LimitIfKnown<&CgroupLimits::cpu_quota_us>},
      {"container_spec_memory_limit_bytes",
       "Memory limit, in bytes; 0 for none",
       kGauge,
       {},
       LimitOrNone<&CgroupLimits::memory>},
      {"container_spec_memory_swap_limit_bytes",
       "Limit of memory and swap together, in bytes; 0 for none",
       kGauge,
       {},
       LimitOrNone<&CgroupLimits::memory_and_swap>},
      {"container_spec_memory_reservation_limit_bytes",
       "Memory that is kept for the container, in bytes; 0 for none",
       kGauge,
       {},
       LimitOrNone<&CgroupLimits::memory_reservation>},
      {"container_start_time_seconds",
       "Start of the container, in seconds since the epoch",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) { out.AddSeconds(static_cast<uint64_t>(figures.started_at)); }},
      {"container_last_seen",
       "Time of these figures, in seconds since the epoch",
       kGauge,
       {},
       [](const Figures& figures, Sink& out) { out.AddSeconds(static_cast<uint64_t>(figures.stats.time)); }},
      {"container_pressure_cpu_waiting_seconds_total",
       "Time in which some task waited for a processor, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.cpu && figures.stats.cpu->pressure) PressureSeconds(figures.stats.cpu->pressure->some, out);
       }},
      {"container_pressure_cpu_stalled_seconds_total",
       "Time in which no task had a processor, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.cpu && figures.stats.cpu->pressure) PressureSeconds(figures.stats.cpu->pressure->full, out);
       }},
      {"container_pressure_memory_waiting_seconds_total",
       "Time in which some task waited for memory, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.memory && figures.stats.memory->pressure)
           PressureSeconds(figures.stats.memory->pressure->some, out);
       }},
      {"container_pressure_memory_stalled_seconds_total",
       "Time in which all tasks waited for memory, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.memory && figures.stats.memory->pressure)
           PressureSeconds(figures.stats.memory->pressure->full, out);
       }},
      {"container_pressure_io_waiting_seconds_total",
       "Time in which some task waited for a device, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.io_pressure) PressureSeconds(figures.stats.io_pressure->some, out);
       }},
      {"container_pressure_io_stalled_seconds_total",
       "Time in which all tasks waited for a device, in seconds",
       kCounter,
       {},
       [](const Figures& figures, Sink& out) {
         if (figures.stats.io_pressure) PressureSeconds(figures.stats.io_pressure->full, out);
       }},
  };
  return rows;
}

struct NetworkRow {
  const char* name;
  const char* help;
  stats::InterfaceStats::Way stats::InterfaceStats::*way;
  uint64_t stats::InterfaceStats::Way::*count;
};
using stats::InterfaceStats;
using Way = stats::InterfaceStats::Way;
constexpr std::array<NetworkRow, 8> kNetworkRows = {{
    {"container_network_receive_bytes_total", "Bytes received", &InterfaceStats::received, &Way::bytes},
    {"container_network_receive_packets_total", "Packets received", &InterfaceStats::received, &Way::packets},
    {"container_network_receive_packets_dropped_total", "Packets dropped while receiving", &InterfaceStats::received,
     &Way::dropped},
    {"container_network_receive_errors_total", "Errors while receiving", &InterfaceStats::received, &Way::errors},
    {"container_network_transmit_bytes_total", "Bytes sent", &InterfaceStats::sent, &Way::bytes},
    {"container_network_transmit_packets_total", "Packets sent", &InterfaceStats::sent, &Way::packets},
    {"container_network_transmit_packets_dropped_total", "Packets dropped while sending", &InterfaceStats::sent,
     &Way::dropped},
    {"container_network_transmit_errors_total", "Errors while sending", &InterfaceStats::sent, &Way::errors},
}};

cri::MetricDescriptor Descriptor(const char* name, const char* help, const std::vector<std::string_view>& labels) {
  cri::MetricDescriptor out;
  out.set_name(name);
  out.set_help(help);
  for (const std::string_view label : kBaseLabels) out.add_label_keys(std::string(label));
  for (const std::string_view label : labels) out.add_label_keys(std::string(label));
  return out;
}

}  // namespace

std::vector<cri::MetricDescriptor> DescribeMetrics() {
  std::vector<cri::MetricDescriptor> out;
  for (const Row& row : Rows()) out.push_back(Descriptor(row.name, row.help, row.labels));
  for (const NetworkRow& row : kNetworkRows) out.push_back(Descriptor(row.name, row.help, {"interface"}));
  return out;
}

void AddContainerMetrics(const ContainerFigures& figures, const BaseLabels& labels, MetricList& out) {
  for (const Row& row : Rows()) {
    Sink sink(row.name, row.type, figures.stats.time, labels, out);
    row.fill(figures, sink);
  }
}

void AddNetworkMetrics(int64_t time, const std::vector<stats::InterfaceStats>& interfaces, const BaseLabels& labels,
                       MetricList& out) {
  for (const NetworkRow& row : kNetworkRows) {
    Sink sink(row.name, cri::COUNTER, time, labels, out);
    for (const stats::InterfaceStats& interface : interfaces)
      sink.Add((interface.*row.way).*row.count, {interface.name});
  }
}

}  // namespace berth::server
