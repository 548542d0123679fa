// One pod at a time: each phase, beside the bare plugins and the bare runtime; ExecSync beside the runtime's exec.
#include "tests/bench/node.h"
#include "tests/e2e/harness/paths.h"

namespace berth::bench {
namespace {

using e2e::Made;

class LifeCycle : public BenchNode {
 protected:
  static constexpr int kPods = 40;
  Timings times_;

  void OnePod(const std::string& runtime) {
    const auto config = Pod();
    std::string pod, container;
    times_.Time("start", [&] {
      times_.Time("RunPodSandbox", [&] { pod = cri().RunPod(config, runtime)->pod_sandbox_id(); });
      times_.Time("CreateContainer", [&] {
        container = cri().Create(pod, Container({"sleep", "1000"}), config)->container_id();
      });
      times_.Time("StartContainer", [&] { EXPECT_CALL_OK(cri().Start(container)); });
    });
    times_.Time("end", [&] {
      times_.Time("StopContainer", [&] { EXPECT_CALL_OK(cri().Stop(container, 0)); });
      times_.Time("StopPodSandbox", [&] { EXPECT_CALL_OK(cri().StopPod(pod)); });
      times_.Time("RemoveContainer", [&] { EXPECT_CALL_OK(cri().Remove(container)); });
      times_.Time("RemovePodSandbox", [&] { EXPECT_CALL_OK(cri().RemovePod(pod)); });
    });
  }

  void OneFloor(BareContainer& bare, const base::Path& like, int number) {
    const std::string id = "bench" + std::to_string(number);
    const base::Path netns = base::Path("/run/netns") / id;
    times_.Time("netns", [&] { ASSERT_STATUS_OK(AddNetns(id)); });
    times_.Time("cni add", [&] { ASSERT_STATUS_OK(CniAdd(daemon().NetworkList(), id, netns)); });
    ASSERT_STATUS_OK(bare.Prepare(like, id));
    times_.Time("create", [&] { ASSERT_STATUS_OK(bare.Create()); });
    times_.Time("begin", [&] { ASSERT_STATUS_OK(bare.Start()); });
    times_.Time("delete", [&] { ASSERT_STATUS_OK(bare.Delete()); });
    times_.Time("cni del", [&] { ASSERT_STATUS_OK(CniDel(daemon().NetworkList(), id, netns)); });
    ASSERT_STATUS_OK(DeleteNetns(id));
  }

  void Run(const std::string& runtime) {
    const base::Path program = e2e::OciRuntime(runtime);
    if (program.empty()) GTEST_SKIP() << runtime << " is not installed";
    BareContainer bare(program, daemon().options().run_root.parent_path() / "bare");
    const auto config = Pod();
    const std::string pod = cri().RunPod(config, runtime)->pod_sandbox_id();
    const std::string like = cri().Create(pod, Container({"sleep", "1000"}), config)->container_id();
    ASSERT_CALL_OK(cri().Start(like));
    // In turn, so that what else the machine does meets both alike.
    for (int i = 0; i < kPods && !HasFatalFailure(); ++i) {
      OnePod(runtime);
      OneFloor(bare, Bundle(like), i);
    }
    std::printf("%s, state root on %s\n", runtime.c_str(), GetParam().c_str());
    for (const char* name : {"RunPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "StopPodSandbox",
                             "RemoveContainer", "RemovePodSandbox"})
      times_.Print(name, name);
    times_.Print("the three of the start", "start");
    times_.Print("the four of the end", "end");
    times_.Print("floor: ip netns add", "netns");
    times_.Print("floor: CNI ADD", "cni add");
    times_.Print("floor: runtime create", "create");
    times_.Print("floor: runtime start", "begin");
    times_.Print("floor: kill and runtime delete", "delete");
    times_.Print("floor: CNI DEL", "cni del");
    PrintRatio("start over CNI ADD + create + start", times_.Median("start"),
               times_.Median("cni add") + times_.Median("create") + times_.Median("begin"), 1.5);
    PrintRatio("end over CNI DEL + delete", times_.Median("end"), times_.Median("cni del") + times_.Median("delete"),
               1.5);
  }
};
ON_EVERY_DISK(LifeCycle);

TEST_P(LifeCycle, Crun) {
  Run("crun");
}
TEST_P(LifeCycle, Runc) {
  Run("runc");
}

class Exec : public BenchNode {};
ON_EVERY_DISK(Exec);

TEST_P(Exec, SyncBesideTheRuntimesOwn) {
  constexpr int kRuns = 200;
  Timings times;
  for (const char* runtime : {"crun", "runc"}) {
    const base::Path program = e2e::OciRuntime(runtime);
    if (program.empty()) continue;
    const auto config = Pod();
    const std::string pod = cri().RunPod(config, runtime)->pod_sandbox_id();
    const std::string container = cri().Create(pod, Container({"sleep", "1000"}), config)->container_id();
    ASSERT_CALL_OK(cri().Start(container));
    const base::Path root = daemon().options().run_root / "oci" / runtime;
    for (int i = 0; i < kRuns; ++i) {
      times.Time(runtime, [&] { EXPECT_CALL_OK(cri().Exec(container, {"true"})); });
      times.Time(std::string("bare ") + runtime, [&] {
        ASSERT_STATUS_OK(RunQuietly(program, {runtime, "--root", root.native(), "exec", container, "true"}));
      });
    }
    std::printf("%s, state root on %s\n", runtime, GetParam().c_str());
    times.Print("ExecSync true", runtime);
    times.Print("floor: runtime exec true", std::string("bare ") + runtime);
    PrintRatio("ExecSync over runtime exec", times.Median(runtime), times.Median(std::string("bare ") + runtime), 1.25);
  }
}

}  // namespace
}  // namespace berth::bench
