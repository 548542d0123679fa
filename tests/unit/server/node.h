// A node without gRPC, without an OCI runtime and without a network: the real services over fakes of what ends the
// process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "oci/fake_runtime.h"
#include "server/events.h"
#include "server/executors.h"
#include "server/handlers.h"
#include "tests/unit/kernel/temp_folder.h"
#include "tests/unit/network/fixtures.h"

namespace berth::server {

// For what must happen and does at once.
inline base::Context Bounded() {
  return base::Context().WithTimeout(std::chrono::seconds(60));
}

// Waits until `condition` holds; false when it does not for a minute.
template <typename Condition>
bool Eventually(Condition condition) {
  const base::Context context = Bounded();
  while (!condition()) {
    if (!context.Wait(-1, 0, "condition", base::Monotonic::now() + std::chrono::milliseconds(2))) return false;
  }
  return true;
}

template <typename T>
std::string CodeOf(const base::Result<T>& result) {
  return result ? "OK" : std::string(base::CodeName(result.error().code));
}
template <typename T>
std::string TextOf(const base::Result<T>& result) {
  return result ? "OK" : result.error().Text();
}

// No unit is made, and none is missed.
class FakeSystemd : public kernel::Systemd {
 public:
  base::Status StartScope(const kernel::ScopeRequest&, const base::Context&) const override { return {}; }
  base::Status StartSlice(const std::string&, const base::Context&) const override { return {}; }
  base::Status StopUnit(const std::string&, const base::Context&) const override { return {}; }
  base::Status SetLimits(const std::string&, const std::map<std::string, uint64_t>&,
                         const base::Context&) const override {
    return {};
  }
};

class Node : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A pod in the host's namespaces, and the same with a network of its own.
  cri::RunPodSandboxRequest PodRequest(const std::string& name) const;
  cri::RunPodSandboxRequest NetworkPodRequest(const std::string& name) const;
  cri::CreateContainerRequest ContainerRequest(const std::string& sandbox, const std::string& name) const;

  // These must succeed; they return the id.
  std::string RunPod(const cri::RunPodSandboxRequest& request);
  std::string RunPod(const std::string& name) { return RunPod(PodRequest(name)); }
  std::string Create(const cri::CreateContainerRequest& request);
  std::string Create(const std::string& sandbox, const std::string& name) {
    return Create(ContainerRequest(sandbox, name));
  }
  void Start(const std::string& container);
  std::string CreateStarted(const std::string& sandbox, const std::string& name);
  image::ImagePtr PutImage(const std::string& tag, const std::string& user, uint64_t size);

  void Run(const std::string& script);  // what containers that are started from now on do; without, they sleep
  void RunLeftovers();                  // one attempt at all that could not be undone

  cri::ContainerStatus StatusOf(const std::string& container);
  bool Exits(const std::string& container);  // within a minute
  // What the fake network was asked, "ADD first" and so on.
  size_t CountPlugin(const std::string& call);
  size_t CountRuntime(const std::string& verb) const;
  // What containers and pods leave in the two roots, empty once all are removed.
  std::vector<std::string> Leftovers() const;

  std::optional<kernel::TempFolder> temp_;
  std::shared_ptr<oci::FakeRuntime> runtime_;
  std::shared_ptr<network::FakeCalls> plugins_ = std::make_shared<network::FakeCalls>();
  bool has_criu_ = true;
  Services& services() { return *services_; }
  Events& events() { return *events_; }

 private:
  void MakeFolders();
  void MakeServices();

  config::Config config_;
  boost::asio::io_context loop_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> keep_running_;
  std::thread loop_thread_;
  FakeSystemd systemd_;
  std::unique_ptr<kernel::CgroupTree> cgroups_;
  std::unique_ptr<kernel::ForeignPaths> paths_;
  container::Runtimes runtimes_;
  std::unique_ptr<image::Store> images_;
  std::unique_ptr<image::Puller> puller_;
  std::unique_ptr<network::Network> network_;
  state::Undoers undoers_;
  std::unique_ptr<state::Timelines> timelines_;
  std::unique_ptr<state::LeftoverQueue> leftovers_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<container::Containers> containers_;
  std::unique_ptr<sandbox::Sandboxes> sandboxes_;
  std::unique_ptr<stats::Collector> stats_;
  std::unique_ptr<streaming::Server> streaming_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<Executors> executors_;  // last: its threads use everything
};

}  // namespace berth::server
