#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <map>

#include "base/time.h"
#include "server/filter.h"
#include "server/handlers.h"
#include "server/metrics.h"
#include "server/stats/block_device.h"
#include "server/stats_reply.h"

namespace berth::server {
namespace {

// One for all writable layers.
std::optional<ContainerFigures::FileSystem> ReadFileSystem(const base::Path& folder) {
  struct stat info {};
  struct statvfs file_system {};
  if (stat(folder.c_str(), &info) != 0 || statvfs(folder.c_str(), &file_system) != 0) return std::nullopt;
  return ContainerFigures::FileSystem{.device = stats::DeviceName(major(info.st_dev), minor(info.st_dev)),
                                      .bytes = uint64_t{file_system.f_blocks} * file_system.f_frsize,
                                      .inodes = file_system.f_files,
                                      .inodes_free = file_system.f_ffree};
}

// Absent when it does not run any more.
std::optional<ContainerFigures> ReadContainer(Services& services, const container::Container& container,
                                              const std::optional<ContainerFigures::FileSystem>& file_system) {
  auto reading = services.stats.Read(container.id, container.cgroups_path, stats::Depth::kAll);
  const auto limits = services.stats.ReadLimits(container.id, container.cgroups_path);
  const auto pids = services.stats.Processes(container.cgroups_path);
  if (!reading || !limits || !pids) return std::nullopt;
  ContainerFigures out{.stats = std::move(reading->stats),
                       .limits = *limits,
                       .layer = services.stats.Usage(container.id, WritableLayer(services, container.id)),
                       .processes = stats::ReadProcesses(*pids),
                       .open_files_limit = stats::OpenFilesLimit(container.process.pid),
                       .file_system = file_system,
                       .started_at = container.started_at};
  for (const stats::DeviceIo& io : out.stats.io) out.io_devices.push_back(stats::DeviceName(io.major, io.minor));
  return out;
}

BaseLabels LabelsOf(const sandbox::Sandbox& sandbox) {
  return {.id = sandbox.id,
          .image = {},
          .namespace_name = sandbox.config->metadata().namespace_(),
          .pod = sandbox.config->metadata().name(),
          .container = "POD"};
}

BaseLabels LabelsOf(const sandbox::Sandbox& sandbox, const container::Container& container) {
  BaseLabels out = LabelsOf(sandbox);
  const std::string& asked = container.config->image().user_specified_image();
  out.id = container.id;
  out.image = asked.empty() ? container.image_name : asked;
  out.container = container.config->metadata().name();
  return out;
}

}  // namespace

base::Result<cri::ListPodSandboxMetricsResponse> ListPodSandboxMetrics(Services& services,
                                                                       const cri::ListPodSandboxMetricsRequest&,
                                                                       const base::Context& context) {
  cri::ListPodSandboxMetricsResponse reply;
  std::map<std::string, ContainerList> containers;  // by sandbox
  for (auto& container : FilterContainers(services, {}, {}, {})) {
    if (container->state == container::State::kRunning) containers[container->sandbox_id].push_back(container);
  }
  const auto file_system = ReadFileSystem(services.config.state_root);
  std::vector<base::Path> namespaces;
  std::vector<std::pair<BaseLabels, cri::PodSandboxMetrics*>> networked;  // theirs, in that order
  for (const auto& sandbox : FilterSandboxes(services, {}, {})) {
    if (sandbox->state != sandbox::State::kReady) continue;
    cri::PodSandboxMetrics& pod = *reply.add_pod_metrics();
    pod.set_pod_sandbox_id(sandbox->id);
    for (const auto& container : containers[sandbox->id]) {
      RETURN_IF_ERROR(context.Check("ListPodSandboxMetrics"));
      const auto figures = ReadContainer(services, *container, file_system);
      if (!figures) continue;
      cri::ContainerMetrics& metrics = *pod.add_container_metrics();
      metrics.set_container_id(container->id);
      AddContainerMetrics(*figures, LabelsOf(*sandbox, *container), *metrics.mutable_metrics());
    }
    if (sandbox->net_namespace.empty()) continue;
    namespaces.push_back(sandbox->net_namespace);
    networked.emplace_back(LabelsOf(*sandbox), &pod);
  }
  const auto interfaces = stats::ReadInterfaces(namespaces);
  const int64_t now = base::UnixNanos();
  for (size_t i = 0; i < networked.size(); ++i) {
    if (interfaces[i])
      AddNetworkMetrics(now, *interfaces[i], networked[i].first, *networked[i].second->mutable_metrics());
  }
  return reply;
}

}  // namespace berth::server
