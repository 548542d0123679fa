// berthd as a whole: made from a configuration, restored from the two roots, served on a socket.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "config/config.h"

namespace berth::server {

class Daemon {
 public:
  // Takes the state root's lock and restores everything. Broken records are told in the log and set aside: an error
  // means that the daemon cannot work at all (a folder cannot be used, another berthd runs).
  static base::Result<std::unique_ptr<Daemon>> Make(config::Config config);
  ~Daemon();

  // Serves until SIGTERM or SIGINT, then takes no new calls, gives those in flight a few seconds and returns.
  // Containers and their monitors go on. `hangup` is called for each SIGHUP, on the loop.
  base::Status Serve(std::function<void()> hangup);

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::server
