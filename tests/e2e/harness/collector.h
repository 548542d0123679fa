// A collector of OpenTelemetry spans: what is posted to it, as it came.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/e2e/harness/listener.h"

namespace berth::e2e {

class Collector {
 public:
  // `status`: what posts are answered with.
  static base::Result<std::unique_ptr<Collector>> Start(int status = 200);
  std::string endpoint() const;
  std::vector<std::string> requests() const;  // heads and bodies
  std::vector<nlohmann::json> spans() const;  // of all posts

 private:
  void Serve(int fd);

  int status_ = 200;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace berth::e2e
