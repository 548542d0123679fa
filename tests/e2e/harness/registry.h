// A real registry (docker-registry) with real images, on loopback, for the length of a test program.
#pragma once

#include <memory>
#include <string>

#include "base/child.h"
#include "base/result.h"

namespace berth::e2e {

class Registry {
 public:
  struct Options {
    base::Path folder;  // of its configuration and log
    int port = 5000;
    base::Path data = {};   // blobs that another one serves too; empty: its own, below `folder`
    std::string http = {};  // more of the section "http", as YAML in one line: "tls: {...}"
    std::string auth = {};  // the section "auth", the same way
  };
  // Starts one and waits until it listens. Where BERTH_E2E_REGISTRY_DATA names a folder that another run has filled,
  // that is served instead of an empty one. Blocks for at most 30 s.
  static base::Result<std::unique_ptr<Registry>> Start(const Options& options);
  // A port of 127.0.0.1 that nobody listens at.
  static int FreePort();

  // Builds and pushes every image that tests use (tests/e2e/images.py says which). Blocks for at most 180 s.
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
