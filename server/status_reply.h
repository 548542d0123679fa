// Pods and containers as the status calls and the events tell them.
#pragma once

#include "container/container.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "sandbox/sandbox.h"

namespace berth::server {

void FillStatus(const container::Container& container, cri::ContainerStatus& status);
void FillStatus(const sandbox::Sandbox& sandbox, cri::PodSandboxStatus& status);

}  // namespace berth::server
