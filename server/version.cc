#include "server/handlers.h"

namespace berth::server {

base::Result<cri::VersionResponse> Version(Services&, const cri::VersionRequest&, const base::Context&) {
  cri::VersionResponse reply;
  reply.set_version("0.1.0");  // of the kubelet's own versioning of this call, never changed since
  reply.set_runtime_name("berth");
  reply.set_runtime_version(BERTH_VERSION);
  reply.set_runtime_api_version("v1");
  return reply;
}

}  // namespace berth::server
