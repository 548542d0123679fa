#include "server/handlers.h"
#include "server/metrics.h"

namespace berth::server {

base::Result<cri::ListMetricDescriptorsResponse> ListMetricDescriptors(Services&,
                                                                       const cri::ListMetricDescriptorsRequest&,
                                                                       const base::Context&) {
  std::vector<cri::MetricDescriptor> all = DescribeMetrics();
  cri::ListMetricDescriptorsResponse reply;
  for (cri::MetricDescriptor& one : all) *reply.add_descriptors() = std::move(one);
  return reply;
}

}  // namespace berth::server
