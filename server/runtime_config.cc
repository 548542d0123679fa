#include "server/handlers.h"

namespace berth::server {

base::Result<cri::RuntimeConfigResponse> RuntimeConfig(Services& services, const cri::RuntimeConfigRequest&,
                                                       const base::Context&) {
  cri::RuntimeConfigResponse reply;
  // SYSTEMD is 0 and thus not on the wire: `linux` itself must be.
  reply.mutable_linux()->set_cgroup_driver(services.systemd_cgroup ? cri::SYSTEMD : cri::CGROUPFS);
  return reply;
}

base::Result<cri::UpdateRuntimeConfigResponse> UpdateRuntimeConfig(Services& services,
                                                                   const cri::UpdateRuntimeConfigRequest& request,
                                                                   const base::Context&) {
  RETURN_IF_ERROR(services.network.SetPodCidr(request.runtime_config().network_config().pod_cidr()));
  return cri::UpdateRuntimeConfigResponse();
}

}  // namespace berth::server
