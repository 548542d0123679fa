// The monitor's epoll descriptor and what its events are called.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace berth::conmon {

enum class Source : uint32_t { kSignal, kListen, kStdout, kStderr, kStdin, kOom, kControl, kAttach };

class Poller {
 public:
  Poller() : fd_(epoll_create1(EPOLL_CLOEXEC)) {}
  int fd() const { return fd_.get(); }
  bool Add(int fd, uint32_t events, Source source, uint32_t index = 0) {
    return Do(EPOLL_CTL_ADD, fd, events, source, index);
  }
  bool Change(int fd, uint32_t events, Source source, uint32_t index = 0) {
    return Do(EPOLL_CTL_MOD, fd, events, source, index);
  }
  void Remove(int fd) { epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

 private:
  bool Do(int operation, int fd, uint32_t events, Source source, uint32_t index) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = uint64_t{static_cast<uint32_t>(source)} << 32 | index;
    return epoll_ctl(fd_.get(), operation, fd, &event) == 0;
  }
  base::UniqueFd fd_;
};

}  // namespace berth::conmon
