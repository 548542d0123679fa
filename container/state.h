// The states of a container and which change is allowed (CRI API, ContainerState).
//
//   create ──> kCreated ──start──> kRunning ──exit──> kExited ──remove──> (gone)
//                 │                                      ^
//                 ├── start failed, killed, lost ────────┘
//                 └── remove ──> (gone)
#pragma once

#include <string_view>

namespace berth::container {

enum class State { kCreated, kRunning, kExited };

constexpr std::string_view StateName(State state) {
  switch (state) {
    case State::kCreated:
      return "created";
    case State::kRunning:
      return "running";
    case State::kExited:
      return "exited";
  }
  return "unknown";
}

// An exited container never runs again; a restart is a new container with the next attempt.
constexpr bool CanChange(State from, State to) {
  switch (from) {
    case State::kCreated:
      return to == State::kRunning || to == State::kExited;
    case State::kRunning:
      return to == State::kExited;
    case State::kExited:
      return false;
  }
  return false;
}

}  // namespace berth::container
