// A container's state as the CRI API names it.
#pragma once

#include "container/container.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"

namespace berth::server {

inline cri::ContainerState CriState(container::State state) {
  switch (state) {
    case container::State::kCreated:
      return cri::CONTAINER_CREATED;
    case container::State::kRunning:
      return cri::CONTAINER_RUNNING;
    case container::State::kExited:
      return cri::CONTAINER_EXITED;
  }
  return cri::CONTAINER_UNKNOWN;
}

}  // namespace berth::server
