// The metrics of ListMetricDescriptors and ListPodSandboxMetrics, each in one row that says what it is called, what it
// means and where its value comes from: what is described and what is sent cannot differ. Names, types and labels are
// cAdvisor's, which dashboards know.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "server/stats/cgroup_stats.h"
#include "server/stats/interfaces.h"
#include "server/stats/processes.h"
#include "server/stats/usage.h"

namespace berth::server {

// All that is known of a container at one moment.
struct ContainerFigures {
  stats::CgroupStats stats{};
  stats::CgroupLimits limits{};
  std::optional<stats::TreeUsage> layer{};
  stats::ProcessFigures processes{};
  std::optional<uint64_t> open_files_limit{};
  struct FileSystem {
    std::string device{};
    uint64_t bytes = 0;
    uint64_t inodes = 0;
    uint64_t inodes_free = 0;
  };
  std::optional<FileSystem> file_system{};
  std::vector<std::string> io_devices{};  // names of stats.io's, in that order
  int64_t started_at = 0;                 // Unix nanoseconds
};

// The values of the labels that every metric has.
struct BaseLabels {
  std::string id;
  std::string image;  // empty for a pod's own
  std::string namespace_name;
  std::string pod;
  std::string container;  // "POD" for a pod's own
};

using MetricList = google::protobuf::RepeatedPtrField<cri::Metric>;

std::vector<cri::MetricDescriptor> DescribeMetrics();
void AddContainerMetrics(const ContainerFigures& figures, const BaseLabels& labels, MetricList& out);
void AddNetworkMetrics(int64_t time, const std::vector<stats::InterfaceStats>& interfaces, const BaseLabels& labels,
                       MetricList& out);

}  // namespace berth::server
