// berth_e2e: end-to-end tests through gRPC on a real registry, real OCI runtimes and real CNI plugins.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

bool OnlyLists(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--gtest_list_tests") == 0 || std::strcmp(argv[i], "--help") == 0) return true;
  }
  return false;
}

// The registry lives as long as the tests.
int RunOnNode() {
  const char* base_folder = std::getenv("BERTH_E2E_FOLDER");
  std::string name = std::string(base_folder ? base_folder : "/var/tmp") + "/berth-e2e-XXXXXX";
  if (!::mkdtemp(name.data())) {
    std::perror("berth_e2e: make the work folder");
    return 99;
  }
  OnNode::work_folder = name;
  int code = 99;
  {
    auto started = Registry::Start({.folder = OnNode::work_folder / "registry"});
    base::Status pushed = started ? (*started)->PushImages() : base::Status();
    if (!started || !pushed) {
      std::fprintf(stderr, "berth_e2e: %s\n", (started ? pushed.error() : started.error()).Text().c_str());
    } else {
      OnNode::registry = started->get();
      code = RUN_ALL_TESTS();
    }
  }
  std::error_code ignored;
  if (code == 0 || !std::getenv("BERTH_E2E_KEEP")) std::filesystem::remove_all(OnNode::work_folder, ignored);
  return code;
}

}  // namespace
}  // namespace berth::e2e

int main(int argc, char** argv) {
  using namespace berth::e2e;
  if (OnlyLists(argc, argv)) {
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
  }
  OnNode::skip_reason = WhyNotHere();
  if (OnNode::skip_reason.empty()) {
    auto isolation = Isolate();
    if (!isolation) {
      std::fprintf(stderr, "berth_e2e: %s\n", isolation.error().Text().c_str());
      return 99;
    }
    OnNode::isolation = *isolation;
  }
  testing::InitGoogleTest(&argc, argv);
  return OnNode::skip_reason.empty() ? RunOnNode() : RUN_ALL_TESTS();
}
