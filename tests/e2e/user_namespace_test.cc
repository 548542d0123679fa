// Pods with a user namespace, seen from both sides: root inside is nobody outside, and owns what it should.
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint32_t kFirst = 1'000'000;
constexpr uint32_t kIds = 65536;

void Map(v1::IDMapping* range, uint32_t host) {
  range->set_host_id(host);
  range->set_length(kIds);
}
void Ask(v1::NamespaceOption& options) {
  v1::UserNamespace& user = *options.mutable_userns_options();
  user.set_mode(v1::POD);
  Map(user.add_uids(), kFirst);
  Map(user.add_gids(), kFirst);
}
void AskBoth(v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
  Ask(*pod.mutable_linux()->mutable_security_context()->mutable_namespace_options());
  Ask(*config.mutable_linux()->mutable_security_context()->mutable_namespace_options());
}

class UserNamespace : public OnRuntime {
 protected:
  void SetUp() override {
    OnRuntime::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto status = cri().Call(&v1::RuntimeService::Stub::Status, v1::StatusRequest());
    ASSERT_CALL_OK(status);
    bool known = false;
    for (const auto& handler : status->runtime_handlers())
      known |= handler.name() == GetParam() && handler.features().user_namespaces();
    if (!known) GTEST_SKIP() << "the kernel or the file system cannot show images with mapped owners";
  }
  static uid_t OwnerOf(const Path& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info.st_uid;
  }
  void ExpectSecondContainerSeesItsOwners(Made made) {
    made.config.mutable_metadata()->set_name("second");
    made.config.clear_command();
    for (const char* word : {"stat", "-c", "%u", "/bin/busybox"}) made.config.add_command(word);
    made.config.set_log_path("second/0.log");
    const auto created = cri().Create(made.pod, made.config, made.pod_config);
    ASSERT_CALL_OK(created);
    ASSERT_CALL_OK(cri().Start(created->container_id()));
    EXPECT_EQ(WaitExited(created->container_id()).exit_code(), 0);
    EXPECT_EQ(LogText(made.log()), "0\n");
  }
};
ON_EVERY_RUNTIME(UserNamespace);

TEST_P(UserNamespace, RootInsideIsAnotherOutside) {
  const Made made = RunContainer(Sh("id -u; cat /proc/self/uid_map; echo ready; sleep 1000"), AskBoth);
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()).find("ready") != std::string::npos; }))
      << LogText(made.log(), "stderr");
  EXPECT_EQ(LogText(made.log()), "0\n         0    1000000      65536\nready\n");
  std::vector<int> pids;
  ASSERT_TRUE(Eventually([&] { return (pids = ProcessesNamed("sleep")).size() == 1; }));
  EXPECT_EQ(OwnerOf(Cat("/proc/", pids[0], "/status")), kFirst);
  // A probe is in it too, and the pod says what it was given.
  EXPECT_EQ(cri().Exec(made.container, {"id", "-u"})->stdout(), "0\n");
  const auto status = cri().PodStatus(made.pod);
  EXPECT_THAT(status->status().linux().namespaces().options().userns_options(),
              SameMessage(made.pod_config.linux().security_context().namespace_options().userns_options()));
}

TEST_P(UserNamespace, EverythingOfTheImageAndThePodBelongsToRoot) {
  ExpectImagesToChange();
  ASSERT_CALL_OK(cri().Pull(Image("config:1")));
  const Made made = RunContainer(Sh("for i in / /bin/busybox /etc/passwd /etc/hostname /etc/resolv.conf /etc/hosts "
                                    "/dev/shm /new /new/folder; do stat -c '%n %u:%g' $i; done; "
                                    "echo mine > /etc/passwd && echo shm > /dev/shm/x && stat -c '%n %u' /etc/passwd "
                                    "/dev/shm/x; chown 7 /etc/passwd && stat -c %u /etc/passwd"),
                                 [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
                                   AskBoth(pod, config);
                                   config.set_working_dir("/new/folder");
                                 });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
  EXPECT_EQ(LogText(made.log()),
            "/ 0:0\n/bin/busybox 0:0\n/etc/passwd 0:0\n/etc/hostname 0:0\n/etc/resolv.conf 0:0\n/etc/hosts "
            "0:0\n/dev/shm 0:0\n/new 0:0\n"
            "/new/folder 0:0\n/etc/passwd 0\n/dev/shm/x 0\n7\n");
}

TEST_P(UserNamespace, VolumesShowMappedOwnersWhereThatIsAsked) {
  const Path volume = folder() / "volume";
  ASSERT_STATUS_OK(base::MakeDirs(volume));
  ASSERT_STATUS_OK(base::WriteFile(volume / "file", "of the host's root\n", 0600));
  const auto with = [&](bool mapped, const std::string& script) {
    const Made made = RunContainer(Sh(script), [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
      AskBoth(pod, config);
      for (const Path& path : {volume, volume / "file"}) {
        v1::Mount& mount = *config.add_mounts();
        mount.set_host_path(path.string());
        mount.set_container_path(path == volume ? "/volume" : "/single");
        if (!mapped) continue;
        Map(mount.add_uidmappings(), kFirst);
        Map(mount.add_gidmappings(), kFirst);
      }
    });
    EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
    return LogText(made.log());
  };
  EXPECT_EQ(with(true, "cat /volume/file /single; stat -c %u /volume/file; echo new > /volume/new"),
            "of the host's root\nof the host's root\n0\n");
  EXPECT_EQ(OwnerOf(volume / "new"), 0U);
  EXPECT_EQ(with(false, "stat -c %u /volume/file; cat /volume/file 2>/dev/null || echo refused"), "65534\nrefused\n");
}

TEST_P(UserNamespace, ImageVolumeIsMappedToo) {
  ExpectImagesToChange();
  ASSERT_CALL_OK(cri().Pull(Image("busybox:zstd")));
  const Made made = RunContainer(Sh("stat -c %u /image/bin/busybox; cat /image/zstd"),
                                 [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
                                   AskBoth(pod, config);
                                   v1::Mount& mount = *config.add_mounts();
                                   mount.set_container_path("/image");
                                   mount.set_readonly(true);
                                   mount.mutable_image()->set_image(Image("busybox:zstd"));
                                 });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
  EXPECT_EQ(LogText(made.log()), "0\nzstd\n");
}

TEST_P(UserNamespace, DeviceHasTheNameThatWasAskedFor) {
  const Made made =
      RunContainer(Sh("head -c 3 /dev/mine | wc -c"), [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
        AskBoth(pod, config);
        v1::Device& device = *config.add_devices();
        device.set_host_path("/dev/zero");
        device.set_container_path("/dev/mine");
      });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
  EXPECT_EQ(LogText(made.log()), "3\n");
}

TEST_P(UserNamespace, HostNetworkAndSharedPidNamespaceGoWithIt) {
  const Made host = RunContainer(
      Sh("id -u; ls /sys/class/net | grep -x lo"), [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
        AskBoth(pod, config);
        pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
        config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
        pod.clear_hostname();
      });
  EXPECT_EQ(WaitExited(host.container).exit_code(), 0) << LogText(host.log(), "stderr");
  EXPECT_EQ(LogText(host.log()), "0\nlo\n");
  const Made shared =
      RunContainer(Sh("cat /proc/1/comm; test $$ -ne 1 && echo second"),
                   [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
                     AskBoth(pod, config);
                     pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
                     config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
                   });
  EXPECT_EQ(WaitExited(shared.container).exit_code(), 0) << LogText(shared.log(), "stderr");
  EXPECT_EQ(LogText(shared.log()), "berth-pause\nsecond\n");
}

TEST_P(UserNamespace, ContainersAreMadeAfterARestartToo) {
  const Made made = RunContainer({"sleep", "1000"}, AskBoth);
  Restart();
  ExpectSecondContainerSeesItsOwners(made);
}

TEST_P(UserNamespace, MappingsThatAreNotThePodsAreRefused) {
  v1::PodSandboxConfig pod_config = Pod();
  v1::ContainerConfig config = OnNode::Container({"true"});
  v1::Mount& mount = *config.add_mounts();
  mount.set_host_path(folder().string());
  mount.set_container_path("/in");
  Map(mount.add_uidmappings(), kFirst);
  Map(mount.add_gidmappings(), kFirst);
  const std::string plain = RunPod(pod_config);
  const auto refused = cri().Create(plain, config, pod_config);
  EXPECT_EQ(refused.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.message(), testing::AllOf(HasSubstr("mount /in"), HasSubstr("uidMappings")));
  AskBoth(pod_config, config);
  pod_config.mutable_metadata()->set_attempt(1);
  mount.mutable_gidmappings(0)->set_host_id(kFirst + 1);
  const auto other = cri().Create(RunPod(pod_config), config, pod_config);
  EXPECT_EQ(other.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(other.message(), HasSubstr("must be those of the pod"));
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

// The image store on a file system whose owners the kernel cannot map.
class UserNamespaceCopies : public UserNamespace {
 protected:
  void Prepare() override {
    ASSERT_STATUS_OK(base::MakeDirs(Images()));
    ASSERT_EQ(mount("ramfs", Images().c_str(), "ramfs", 0, "mode=0700"), 0) << strerror(errno);
  }
  void SetUp() override {
    UserNamespace::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (daemon().Log(1 << 20).find("images=copied_for_user_namespaces") == std::string::npos)
      GTEST_SKIP() << "this kernel maps the owners of a ramfs too";
  }
  void TearDown() override {
    const Path images = Images();
    UserNamespace::TearDown();
    umount2(images.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(folder(), ignored);
  }
  Path Images() { return daemon().options().state_root / "images"; }
  std::vector<std::string> Copies() {
    return base::ListFolder(Images() / "shifted").value_or(std::vector<std::string>());
  }
  uint64_t UsedBytes() {
    const auto usage = cri().Call(&v1::ImageService::Stub::ImageFsInfo, v1::ImageFsInfoRequest());
    return usage->image_filesystems(0).used_bytes().value();
  }
};
ON_EVERY_RUNTIME(UserNamespaceCopies);

TEST_P(UserNamespaceCopies, OwnersAreRightFromInsideAndOutsideAndTheCopyGoesWithItsLastContainer) {
  const uint64_t before = UsedBytes();
  const Made made = RunContainer(
      Sh("for i in / /bin/busybox /etc/passwd /home/user; do stat -c '%n %u:%g' $i; done; echo mine > /etc/passwd && "
         "stat -c %u /etc/passwd; echo ready; sleep 1000"),
      AskBoth);
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()).find("ready") != std::string::npos; }))
      << LogText(made.log(), "stderr");
  EXPECT_EQ(LogText(made.log()), "/ 0:0\n/bin/busybox 0:0\n/etc/passwd 0:0\n/home/user 1000:1000\n0\nready\n");
  const auto copies = Copies();
  ASSERT_EQ(copies.size(), 1U);
  const Path diff = Images() / "shifted" / copies[0] / "diff";
  EXPECT_EQ(OwnerOf(diff / "bin/busybox"), kFirst);
  EXPECT_EQ(OwnerOf(diff / "home/user"), kFirst + 1000);
  const uint64_t with = UsedBytes();
  EXPECT_GT(with, before);

  // The next container has the same copy, after a restart of the daemon, too.
  Restart();
  ExpectSecondContainerSeesItsOwners(made);
  EXPECT_EQ(Copies(), copies);
  EXPECT_EQ(UsedBytes(), with);

  RemoveEverything();
  EXPECT_TRUE(Eventually([&] { return Copies().empty(); }));
  EXPECT_EQ(UsedBytes(), before);
}

}  // namespace
}  // namespace berth::e2e
