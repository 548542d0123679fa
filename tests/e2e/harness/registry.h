// A real registry (docker-registry) with real images, on loopback, for the length of a test program.
#pragma once

#include <memory>
#include <string>

#include "base/child.h"
#include "base/result.h"

namespace berth::e2e {

class Registry {
 public:
  // Starts one that keeps its data below `folder` and waits until it answers. Where BERTH_E2E_REGISTRY_DATA names a
  // folder that another run has filled, that is served instead. Blocks for at most 30 s.
  static base::Result<std::unique_ptr<Registry>> Start(const base::Path& folder, int port = 5000);

  // Builds and pushes every image that tests use (tests/e2e/images.py says which). Blocks for at most 60 s.
  base::Status PushImages() const;

  // "127.0.0.1:5000/e2e/<name>", name with its tag.
  std::string Name(const std::string& name) const;
  std::string host() const;
  const base::Path& data() const { return data_; }  // its blobs, which another registry may serve too

 private:
  Registry(base::Path data, int port, base::Child child, bool images_ready)
      : data_(std::move(data)), port_(port), child_(std::move(child)), images_ready_(images_ready) {}

  base::Path data_;
  int port_;
  base::Child child_;
  bool images_ready_;
};

}  // namespace berth::e2e
