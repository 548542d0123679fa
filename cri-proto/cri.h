// Our short name for the API's package, for headers that only name its messages.
#pragma once

namespace runtime::v1 {
class ContainerConfig;
class ExecSyncRequest;
class LinuxContainerResources;
class LinuxContainerSecurityContext;
class Mount;
class PodSandboxConfig;
class UpdatePodSandboxResourcesRequest;
}  // namespace runtime::v1

namespace berth {
namespace cri = ::runtime::v1;
}  // namespace berth
