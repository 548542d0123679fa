#include "server/stats_reply.h"

#include <sys/sysinfo.h>

#include <algorithm>

#include "base/time.h"
#include "network/result.h"

namespace berth::server {
namespace {

void FillLine(const stats::PressureLine& line, cri::PsiData& out) {
  out.set_total(line.total_ns);
  out.set_avg10(line.avg10);
  out.set_avg60(line.avg60);
  out.set_avg300(line.avg300);
}

void FillPressure(const stats::Pressure& pressure, cri::PsiStats& out) {
  if (pressure.some) FillLine(*pressure.some, *out.mutable_some());
  if (pressure.full) FillLine(*pressure.full, *out.mutable_full());
}

void FillInterface(const stats::InterfaceStats& interface, cri::NetworkInterfaceUsage& out) {
  out.set_name(interface.name);
  out.mutable_rx_bytes()->set_value(interface.received.bytes);
  out.mutable_rx_errors()->set_value(interface.received.errors);
  out.mutable_tx_bytes()->set_value(interface.sent.bytes);
  out.mutable_tx_errors()->set_value(interface.sent.errors);
}

// What a group without a limit of its own could still take.
uint64_t NodeSwapFree() {
  struct sysinfo info {};
  return sysinfo(&info) == 0 ? uint64_t{info.freeswap} * info.mem_unit : 0;
}

void FillSwap(const stats::CgroupStats& stats, cri::SwapUsage& out) {
  const stats::MemoryStats& memory = *stats.memory;
  out.set_timestamp(stats.time);
  out.mutable_swap_usage_bytes()->set_value(*memory.swap);
  const uint64_t free = NodeSwapFree();
  const uint64_t left = memory.swap_limit ? *memory.swap_limit - std::min(*memory.swap_limit, *memory.swap) : free;
  out.mutable_swap_available_bytes()->set_value(left);
}

void FillWritableLayer(Services& services, const container::Container& container, cri::FilesystemUsage& out) {
  const auto usage = services.stats.Usage(container.id, WritableLayer(services, container.id));
  out.set_timestamp(usage ? usage->time : base::UnixNanos());
  out.mutable_fs_id()->set_mountpoint(services.config.state_root.native());  // as ImageFsInfo says it
  if (!usage) return;
  out.mutable_used_bytes()->set_value(usage->bytes);
  out.mutable_inodes_used()->set_value(usage->inodes);
}

// Without a parent from its caller a pod shares systemd's own slice with others: it is what its containers are
// together.
bool HasOwnGroup(const Services& services, const sandbox::Sandbox& sandbox) {
  return !services.systemd_cgroup || !sandbox.config->linux().cgroup_parent().empty();
}

void Add(const Reading& one, Reading& sum) {
  sum.stats.time = std::max(sum.stats.time, one.stats.time);
  if (one.nano_cores) sum.nano_cores = sum.nano_cores.value_or(0) + *one.nano_cores;
  if (one.stats.cpu) {
    if (!sum.stats.cpu) sum.stats.cpu.emplace();
    sum.stats.cpu->usage_ns += one.stats.cpu->usage_ns;
  }
  if (const auto& memory = one.stats.memory) {
    if (!sum.stats.memory) sum.stats.memory.emplace();
    sum.stats.memory->usage += memory->usage;
    sum.stats.memory->inactive_file += memory->inactive_file;
    sum.stats.memory->rss += memory->rss;
    sum.stats.memory->page_faults += memory->page_faults;
    sum.stats.memory->major_page_faults += memory->major_page_faults;
  }
  if (one.stats.pids) {
    if (!sum.stats.pids) sum.stats.pids.emplace();
    sum.stats.pids->current += one.stats.pids->current;
  }
}

Reading ReadPod(Services& services, const sandbox::Sandbox& sandbox, const ContainerList& containers) {
  if (HasOwnGroup(services, sandbox)) {
    auto reading = services.stats.Read(sandbox.id, sandbox.cgroup_parent, stats::Depth::kUsage);
    return reading ? *std::move(reading) : Reading();
  }
  Reading sum;
  for (const auto& container : containers) {
    if (container->state != container::State::kRunning) continue;
    if (const auto one = services.stats.Read(container->id, container->cgroups_path, stats::Depth::kUsage))
      Add(*one, sum);
  }
  return sum;
}

}  // namespace

void FillCpu(const Reading& reading, cri::CpuUsage& out) {
  const stats::CpuStats& cpu = *reading.stats.cpu;
  out.set_timestamp(reading.stats.time);
  out.mutable_usage_core_nano_seconds()->set_value(cpu.usage_ns);
  if (reading.nano_cores) out.mutable_usage_nano_cores()->set_value(*reading.nano_cores);
  if (cpu.pressure) FillPressure(*cpu.pressure, *out.mutable_psi());
}

void FillMemory(const stats::CgroupStats& stats, cri::MemoryUsage& out) {
  const stats::MemoryStats& memory = *stats.memory;
  out.set_timestamp(stats.time);
  out.mutable_working_set_bytes()->set_value(memory.working_set());
  out.mutable_available_bytes()->set_value(memory.available());
  out.mutable_usage_bytes()->set_value(memory.usage);
  out.mutable_rss_bytes()->set_value(memory.rss);
  out.mutable_page_faults()->set_value(memory.page_faults);
  out.mutable_major_page_faults()->set_value(memory.major_page_faults);
  if (memory.pressure) FillPressure(*memory.pressure, *out.mutable_psi());
}

void FillIo(const stats::CgroupStats& stats, cri::IoUsage& out) {
  out.set_timestamp(stats.time);
  FillPressure(*stats.io_pressure, *out.mutable_psi());
}

void FillNetwork(int64_t time, const std::vector<stats::InterfaceStats>& interfaces, cri::NetworkUsage& out) {
  out.set_timestamp(time);
  for (const stats::InterfaceStats& interface : interfaces) {
    const bool main = interface.name == network::kInterface;
    FillInterface(interface, main ? *out.mutable_default_interface() : *out.add_interfaces());
  }
}

bool FillContainer(Services& services, const container::Container& container, cri::ContainerStats& out) {
  const cri::ContainerConfig& config = *container.config;
  cri::ContainerAttributes& attributes = *out.mutable_attributes();
  attributes.set_id(container.id);
  *attributes.mutable_metadata() = config.metadata();
  *attributes.mutable_labels() = config.labels();
  *attributes.mutable_annotations() = config.annotations();
  FillWritableLayer(services, container, *out.mutable_writable_layer());
  if (container.state != container::State::kRunning) return false;
  const auto reading = services.stats.Read(container.id, container.cgroups_path, stats::Depth::kUsage);
  if (!reading) return false;
  if (reading->stats.cpu) FillCpu(*reading, *out.mutable_cpu());
  if (reading->stats.memory) FillMemory(reading->stats, *out.mutable_memory());
  if (reading->stats.memory && reading->stats.memory->swap) FillSwap(reading->stats, *out.mutable_swap());
  if (reading->stats.io_pressure) FillIo(reading->stats, *out.mutable_io());
  return true;
}

base::Status FillSandbox(Services& services, const sandbox::Sandbox& sandbox, const ContainerList& containers,
                         cri::PodSandboxStats& out) {
  if (sandbox.state != sandbox::State::kReady)
    return base::Fail(base::Code::kUnavailable, "sandbox ", sandbox.id, " is not ready");
  const cri::PodSandboxConfig& config = *sandbox.config;
  cri::PodSandboxAttributes& attributes = *out.mutable_attributes();
  attributes.set_id(sandbox.id);
  *attributes.mutable_metadata() = config.metadata();
  *attributes.mutable_labels() = config.labels();
  *attributes.mutable_annotations() = config.annotations();
  cri::LinuxPodSandboxStats& figures = *out.mutable_linux();
  const Reading reading = ReadPod(services, sandbox, containers);
  if (reading.stats.cpu) FillCpu(reading, *figures.mutable_cpu());
  if (reading.stats.memory) FillMemory(reading.stats, *figures.mutable_memory());
  if (reading.stats.io_pressure) FillIo(reading.stats, *figures.mutable_io());
  if (reading.stats.pids) {
    figures.mutable_process()->set_timestamp(reading.stats.time);
    figures.mutable_process()->mutable_process_count()->set_value(reading.stats.pids->current);
  }
  for (const auto& container : containers) {
    if (container->state != container::State::kRunning) continue;
    if (!FillContainer(services, *container, *figures.add_containers())) figures.mutable_containers()->RemoveLast();
  }
  return {};
}

}  // namespace berth::server
