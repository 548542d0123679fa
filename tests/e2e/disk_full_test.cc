// No byte free under the state root: what must still work, and that nothing half made stays.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/child.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using std::chrono::seconds;
using testing::IsEmpty;

class DiskFull : public OnNode {
 protected:
  void SetUp() override {
    ExpectImagesToChange();
    OnNode::SetUp();
  }
  // The state root is an ext4 file system of its own.
  void Prepare() override {
    Path image = folder() / "disk.img";
    base::UniqueFd fd = base::Open(image, O_RDWR | O_CREAT, 0600).value();
    ASSERT_EQ(::ftruncate(fd.get(), 96 << 20), 0);
    Run("/usr/sbin/mkfs.ext4", {"mkfs.ext4", "-q", "-F", "-m", "0", image.string()});
    Run("/usr/bin/mount", {"mount", "-o", "loop", image.string(), daemon().options().state_root.string()});
  }
  void TearDown() override {
    Free();
    OnNode::TearDown();
    if (!IsSkipped()) ::umount2((folder() / "state").c_str(), MNT_DETACH);
  }
  static void Run(const char* program, const std::vector<std::string>& arguments) {
    auto ran = base::Run(
        {.spawn = {.program = program, .arguments = arguments, .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}},
        base::Context().WithTimeout(seconds(60)));
    ASSERT_STATUS_OK(ran);
    ASSERT_EQ(ran->exit.code, 0) << program << ": " << ran->errors;
  }

  Path filler() { return daemon().options().state_root / "filler"; }
  // Writes until there is no room for another byte.
  void Fill() {
    base::UniqueFd fd = base::Open(filler(), O_WRONLY | O_CREAT | O_APPEND, 0600).value();
    for (size_t size : {size_t{1} << 20, size_t{4096}, size_t{1}}) {
      std::string block(size, 'f');
      while (::write(fd.get(), block.data(), block.size()) > 0) {
      }
    }
    ::fsync(fd.get());
  }
  void Free() {
    std::error_code ignored;
    std::filesystem::remove(filler(), ignored);
  }
};

TEST_F(DiskFull, StopAndRemoveWork) {
  Made made = RunContainer({"sleep", "1000"});
  Fill();
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 137);
  EXPECT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_CALL_OK(cri().Remove(made.container));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

TEST_F(DiskFull, ExitIsRecordedAndSurvivesAKill) {
  // What tells it to go on lies on another disk than its own layer.
  ASSERT_STATUS_OK(base::MakeDirs(folder() / "shared"));
  Made made = RunContainer(Sh("while [ ! -e /shared/go ]; do sleep 0.05; done; exit 6"),
                           [&](auto&, v1::ContainerConfig& config) {
                             auto* mount = config.add_mounts();
                             mount->set_host_path((folder() / "shared").string());
                             mount->set_container_path("/shared");
                           });
  Fill();
  ASSERT_STATUS_OK(base::WriteFile(folder() / "shared/go", ""));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 6);
  ASSERT_STATUS_OK(daemon().Kill());
  StartAgain();
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 6);
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_EXITED);
}

TEST_F(DiskFull, NewPodsAndPullsFailLeaveNothingAndWorkOnceThereIsRoom) {
  Fill();
  auto pulled = cri().Pull(Image("big:1"));
  EXPECT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.message(), testing::HasSubstr("No space left"));
  auto config = Pod();
  auto run = cri().RunPod(config);
  if (!run.ok()) {
    EXPECT_EQ(run.code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << run.message();
    EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  }
  Free();
  EXPECT_FALSE(RunPod(config).empty());
  EXPECT_CALL_OK(cri().Pull(Image("busybox:zstd")));
}

TEST_F(DiskFull, DaemonStartsAndListsWithoutAByteFree) {
  Made made = RunContainer({"sleep", "1000"});
  Fill();
  ASSERT_STATUS_OK(daemon().Kill());
  StartAgain();
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
  EXPECT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));
}

class DiskFullRunRoot : public OnNode {
 protected:
  void Prepare() override {
    const Path run = daemon().options().run_root;
    ASSERT_EQ(::mount("run", run.c_str(), "tmpfs", 0, "size=8m"), 0);
  }
  void TearDown() override {
    const Path run = IsSkipped() ? Path() : daemon().options().run_root;
    OnNode::TearDown();
    if (!run.empty()) ::umount2(run.c_str(), MNT_DETACH);
  }
};

TEST_F(DiskFullRunRoot, DaemonStartsStopsAndRemoves) {
  Made made = RunContainer({"sleep", "1000"});
  const Path filler = daemon().options().run_root / "filler";
  base::UniqueFd fd = base::Open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600).value();
  const std::string block(4096, 'f');
  while (::write(fd.get(), block.data(), block.size()) > 0) {
  }
  ASSERT_STATUS_OK(daemon().Kill());
  StartAgain();
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));
  ASSERT_STATUS_OK(base::RemoveFile(filler));
}

}  // namespace
}  // namespace berth::e2e
