// A TCP server in a network namespace, with threads of the test's own. Unlike busybox's nc it has a backlog: nc's queue
// of two overflows under a few clients at once, and the kernel then drops connections and, rarely, resets one.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::e2e {

class Listener {
 public:
  struct Options {
    base::Path net_namespace;  // empty: the test's
    bool v6 = false;           // [::1] alone, else 127.0.0.1
    uint16_t port = 0;         // 0: any that is free
    size_t at_once = 16;
    int backlog = 256;
    std::function<void(int)> serve = Echo;  // one connection; it is closed afterwards
  };
  static base::Result<std::unique_ptr<Listener>> Start(Options options);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  uint16_t port() const { return port_; }
  // All that comes goes back until the other side has ended.
  static void Echo(int connection);

 private:
  Listener() = default;
  base::UniqueFd socket_;
  uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace berth::e2e
