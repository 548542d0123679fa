// Where images come from besides a plain registry: what the files of other runtimes say, a registry with TLS and
// passwords, archives; and images as volumes.
#include <random>
#include <thread>

#include "tests/e2e/harness/image_sources.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kUser = "puller";
constexpr const char* kPassword = "s3cret";

TEST_F(ImageSources, AliasMirrorAndBlockedRegistryOfRegistriesConf) {
  Write("registries.conf", Cat("[[registry]]\nprefix = \"registry.invalid/team\"\nlocation = \"", registry->host(),
                               "/e2e\"\n[[registry]]\nprefix = \"blocked.invalid\"\nblocked = "
                               "true\n[aliases]\n\"tiny\" = \"registry.invalid/team/busybox\"\n"));
  auto pulled = cri().Pull("tiny:zstd");
  ASSERT_CALL_OK(pulled);
  auto status = cri().ImageStatus("tiny:zstd");
  ASSERT_TRUE(status->has_image());
  EXPECT_EQ(status->image().id(), pulled->image_ref());
  EXPECT_THAT(status->image().repo_tags(), testing::ElementsAre("registry.invalid/team/busybox:zstd"));
  EXPECT_EQ(OutputOf("tiny:zstd", "cat /zstd"), "zstd\n");
  auto blocked = cri().Pull("blocked.invalid/x:1");
  EXPECT_FALSE(blocked.ok());
  EXPECT_THAT(blocked.message(), HasSubstr("is blocked in"));
  // No restart: the file is read again.
  Write("registries.conf", "[[registry]]\nprefix = \"registry.invalid\"\nblocked = true\n");
  EXPECT_THAT(cri().Pull("registry.invalid/team/busybox:zstd").message(), HasSubstr("is blocked in"));
}

TEST_F(ImageSources, MirrorOfHostsTomlStandsInForItsRegistry) {
  Write("certs.d/registry.invalid/hosts.toml",
        Cat("server = \"http://", registry->host(), "\"\n[host.\"http://127.0.0.1:1\"]\n"));
  auto pulled = cri().Pull("registry.invalid/e2e/busybox:plain");
  ASSERT_CALL_OK(pulled);
  EXPECT_EQ(OutputOf("registry.invalid/e2e/busybox:plain", "cat /plain"), "plain\n");
}

// A second registry over the same images, which wants TLS and a password.
class ImageSourcesPrivate : public ImageSources {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/openssl") || !base::Exists("/usr/bin/python3"))
      GTEST_SKIP() << "openssl or python3 is not there";
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    const int port = Registry::FreePort();
    host_ = Cat("127.0.0.1:", port);
    MakeCertificate("server", "IP:127.0.0.1");
    Write("htpasswd", HtpasswdLine(kUser, kPassword));
    Write(Cat("certs.d/", host_, "/ca.crt"), base::ReadFile(folder() / "server.pem").value_or(""));
    auto started =
        Registry::Start({.folder = folder() / "private",
                         .port = port,
                         .data = registry->data(),
                         .http = Cat("tls: {certificate: ", (folder() / "server.pem").string(),
                                     ", key: ", (folder() / "server.key").string(), "}"),
                         .auth = Cat("{htpasswd: {realm: berth, path: ", (folder() / "htpasswd").string(), "}}")});
    ASSERT_TRUE(started) << started.error().Text();
    private_ = *std::move(started);
  }
  void TearDown() override {
    private_.reset();
    ImageSources::TearDown();
  }
  std::string Private(const std::string& name = "busybox:zstd") const { return Cat(host_, "/e2e/", name); }

  std::string host_;
  std::unique_ptr<Registry> private_;
};

TEST_F(ImageSourcesPrivate, TlsAndPasswordAreWantedAndGiven) {
  for (const auto& refused : {cri().Pull(Private()), PullAs(Private(), kUser, "wrong")}) {
    EXPECT_EQ(refused.code(), grpc::StatusCode::UNAUTHENTICATED) << refused.message();
    EXPECT_THAT(refused.message(), testing::Not(HasSubstr("wrong")));
  }
  ASSERT_CALL_OK(PullAs(Private(), kUser, kPassword));
  EXPECT_EQ(OutputOf(Private(), "cat /zstd"), "zstd\n");
  // Without the certificate nobody is believed.
  ASSERT_STATUS_OK(base::RemoveTree(folder() / "certs.d"));
  Write("registries.conf", Cat("[[registry]]\nprefix = \"tls.invalid\"\nlocation = \"", host_, "\"\n"));
  Write(Cat("certs.d/", host_, "/.keep"), "");
  EXPECT_FALSE(PullAs(Private("busybox:plain"), kUser, kPassword).ok());
}

TEST_F(ImageSourcesPrivate, CredentialsOfAFileAndOfAHelperAreUsed) {
  Write("auth.json",
        Cat(R"({"auths":{")", host_, R"(/e2e":{"username":")", kUser, R"(","password":")", kPassword, R"("}}})"));
  ASSERT_CALL_OK(cri().Pull(Private()));
  Write("auth.json", Cat(R"({"credHelpers":{")", host_, R"(":"none-of-that-name"}})"));
  auto failed = cri().Pull(Private("busybox:plain"));
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(failed.message(), HasSubstr("docker-credential-none-of-that-name: not installed"));
}

// Files below `folder` that hold one of the texts.
std::vector<std::string> Holding(const Path& folder, const std::vector<std::string>& secrets) {
  std::vector<std::string> out;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (!file.is_regular_file()) continue;
    const std::string text = base::ReadFile(file.path(), 64 << 20).value_or("");
    for (const std::string& secret : secrets) {
      if (text.find(secret) != std::string::npos) out.push_back(Cat(file.path().native(), ": ", secret));
    }
  }
  return out;
}

TEST_F(ImageSourcesPrivate, NoSecretIsLoggedOrKept) {
  const std::vector<std::string> credentials = {kPassword, "cHVsbGVyOnMzY3JldA", "0dd-identity-token",
                                                "0dd-registry-token", "wr0ng-password"};
  ASSERT_CALL_OK(PullAs(Private(), kUser, kPassword));
  EXPECT_FALSE(PullAs(Private("busybox:plain"), kUser, "wr0ng-password").ok());
  v1::PullImageRequest request;
  request.mutable_image()->set_image(Private("busybox:plain"));
  request.mutable_auth()->set_identity_token("0dd-identity-token");
  EXPECT_FALSE(cri().Call(&v1::ImageService::Stub::PullImage, request).ok());
  request.mutable_auth()->set_registry_token("0dd-registry-token");
  EXPECT_FALSE(cri().Call(&v1::ImageService::Stub::PullImage, request).ok());
  request.mutable_auth()->Clear();
  request.mutable_auth()->set_auth("cHVsbGVyOnMzY3JldA==");
  ASSERT_CALL_OK(cri().Call(&v1::ImageService::Stub::PullImage, request));
  Write("auth.json",
        Cat(R"({"auths":{")", host_, R"(/e2e":{"username":")", kUser, R"(","password":")", kPassword, R"("}}})"));
  ASSERT_CALL_OK(cri().Pull(Private()));

  const auto with_secret = [&](auto&, v1::ContainerConfig& config) {
    config.mutable_image()->set_image(Private());
    auto* variable = config.add_envs();
    variable->set_key("TOKEN");
    variable->set_value("0dd-variable");
  };
  Made made = RunContainer(Sh("[ \"$TOKEN\" = 0dd-variable ]"), with_secret);
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  // Also not where the runtime is told to do what it cannot.
  v1::PodSandboxConfig pod = Pod("second");
  v1::ContainerConfig config = Container({"/no/such/program"});
  with_secret(pod, config);
  const std::string id = RunPod(pod);
  const auto created = cri().Create(id, config, pod);
  EXPECT_FALSE(created.ok() && cri().Start(created->container_id()).ok());

  const std::string log = daemon().Log(64 << 20);
  EXPECT_THAT(log, HasSubstr("call=PullImage"));
  EXPECT_THAT(log, HasSubstr("code=UNAUTHENTICATED"));
  for (const std::string& secret : credentials) EXPECT_THAT(log, testing::Not(HasSubstr(secret)));
  EXPECT_THAT(log, testing::Not(HasSubstr("0dd-variable")));
  EXPECT_THAT(Holding(daemon().options().state_root, credentials), testing::IsEmpty());
  EXPECT_THAT(Holding(daemon().options().run_root, credentials), testing::IsEmpty());
  // The search does find: what a container was asked for is kept, where only root reads.
  EXPECT_THAT(Holding(daemon().options().run_root, {"0dd-variable"}), testing::Not(testing::IsEmpty()));
}

// An OCI layout in a tar file, from what the registry has.
constexpr const char* kMakeArchive = R"(
import http.client, io, json, sys, tarfile
host, name, out, mode, full = sys.argv[1:6]
h = http.client.HTTPConnection(host)
def get(path):
    h.request("GET", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    return h.getresponse().read()
import hashlib
repo, tag = name.split(":")
manifest = get(f"/v2/{repo}/manifests/{tag}")
d = "sha256:" + hashlib.sha256(manifest).hexdigest()
m = json.loads(manifest)
t = tarfile.open(out + ".part", mode)
def add(path, data):
    i = tarfile.TarInfo(path); i.size = len(data); t.addfile(i, io.BytesIO(data))
add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
add("index.json", json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": m["mediaType"], "digest": d, "size": len(manifest), "annotations": {"org.opencontainers.image.ref.name": full}}]}).encode())
add("blobs/sha256/" + d[7:], manifest)
for one in [m["config"], *m["layers"]]:
    add("blobs/sha256/" + one["digest"][7:], get(f"/v2/{repo}/blobs/{one['digest']}"))
t.close()
import os
os.rename(out + ".part", out)
)";

TEST_F(ImageSources, ArchivesThatAppearInTheFolderAreTakenInOnce) {
  Path import = daemon().options().state_root / "import";
  ASSERT_STATUS_OK(base::MakeDirs(import));
  const auto make = [&](const std::string& file, const std::string& mode, const std::string& image,
                        const std::string& name) {
    Run("/usr/bin/python3", {"-c", kMakeArchive, registry->host(), image, (import / file).string(), mode, name});
  };
  make("one.tar", "w", "e2e/busybox:zstd", "airgap.invalid/one:1");
  make("two.tar.gz", "w:gz", "e2e/busybox:plain", "airgap.invalid/two:1");
  const auto listed = [&](const std::string& name) { return cri().ImageStatus(name)->has_image(); };
  ASSERT_TRUE(Eventually([&] { return listed("airgap.invalid/one:1") && listed("airgap.invalid/two:1"); }))
      << daemon().Log();
  EXPECT_EQ(OutputOf("airgap.invalid/one:1", "cat /zstd"), "zstd\n");
  EXPECT_EQ(OutputOf("airgap.invalid/two:1", "cat /plain"), "plain\n");
  RemoveEverything();

  // At the next start what is known and here is left alone, and what has gone comes again.
  ASSERT_CALL_OK(cri().RemoveImage("airgap.invalid/two:1"));
  Restart();
  ASSERT_TRUE(Eventually([&] { return listed("airgap.invalid/two:1"); })) << daemon().Log();
  EXPECT_EQ(daemon().Log(1 << 20).find("imported=" + (import / "one.tar").string()),
            daemon().Log(1 << 20).rfind("imported=" + (import / "one.tar").string()));
  ASSERT_STATUS_OK(base::WriteFile(import / "broken.tar", std::string(2000, 'x')));
  ASSERT_TRUE(Eventually([&] { return daemon().Log().find("broken.tar") != std::string::npos; }));
  ASSERT_STATUS_OK(base::RemoveTree(import));
}

class ImageVolumes : public ImageSources {
 protected:
  Made WithVolume(const std::string& script, const std::string& image, const std::string& sub = {}) {
    return RunContainer(Sh(script), [&](auto&, v1::ContainerConfig& config) {
      v1::Mount& mount = *config.add_mounts();
      mount.set_container_path("/volume");
      mount.set_readonly(true);
      mount.mutable_image()->set_image(image);
      mount.set_image_sub_path(sub);
    });
  }
};

TEST_F(ImageVolumes, ShowTheMergedImageReadOnlyAndOutliveItsRemoval) {
  auto pulled = cri().Pull(Image("whiteouts:1"));
  ASSERT_CALL_OK(pulled);
  Made made = WithVolume(
      "cat /volume/data/gone; ls /volume/data/tree; touch /volume/x 2>/dev/null && echo writable; while [ ! -e /go ]; "
      "do sleep 0.05; done; cat /volume/data/keep",
      pulled->image_ref());
  ASSERT_FALSE(made.container.empty());
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "back\nnew\n"; })) << LogText(made.log());
  v1::ContainerStatusRequest request;
  request.set_container_id(made.container);
  auto status = cri().Call(&v1::RuntimeService::Stub::ContainerStatus, request);
  ASSERT_CALL_OK(status);
  ASSERT_EQ(status->status().mounts_size(), 1);
  EXPECT_EQ(status->status().mounts(0).image().image_ref(), pulled->image_ref());
  ASSERT_CALL_OK(cri().RemoveImage(pulled->image_ref()));
  Restart();  // the layers are still known to be needed
  v1::ExecSyncRequest exec;
  exec.set_container_id(made.container);
  exec.add_cmd("touch");
  exec.add_cmd("/go");
  ASSERT_CALL_OK(cri().Call(&v1::RuntimeService::Stub::ExecSync, exec));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_THAT(LogText(made.log()), testing::EndsWith("keep\n"));
}

TEST_F(ImageVolumes, SubPathIsResolvedInsideTheImage) {
  ASSERT_CALL_OK(cri().Pull(Image("whiteouts:1")));
  Made made = WithVolume("ls /volume", Image("whiteouts:1"), "data/tree");
  ASSERT_FALSE(made.container.empty());
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "new\n");
}

TEST_F(ImageVolumes, ArtifactShowsItsFilesAndCannotBeRun) {
  auto pulled = cri().Pull(Image("model:1"));
  ASSERT_CALL_OK(pulled);
  auto status = cri().ImageStatus(Image("model:1"));
  EXPECT_EQ(status->image().id(), pulled->image_ref());
  EXPECT_GT(status->image().size(), 0u);
  Made made =
      WithVolume("cat /volume/weights/part.bin /volume/card.txt; touch /volume/x 2>/dev/null && echo writable; true",
                 pulled->image_ref());
  ASSERT_FALSE(made.container.empty());
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "weights\ncard\n");
  v1::PodSandboxConfig pod = Pod("second");
  v1::ContainerConfig config = Container(Sh("true"));
  config.mutable_image()->set_image(pulled->image_ref());
  EXPECT_THAT(cri().Create(RunPod(pod), config, pod).message(), HasSubstr("is an artifact"));
}

TEST_F(ImageVolumes, WhatCannotBeMountedIsSaidInTheKubeletsWords) {
  ASSERT_CALL_OK(cri().Pull(Image("whiteouts:1")));
  v1::PodSandboxConfig pod = Pod();
  std::string id = RunPod(pod);
  ASSERT_FALSE(id.empty());
  const auto create = [&](const std::string& image, const std::string& sub, bool read_only) {
    v1::CreateContainerRequest request;
    request.set_pod_sandbox_id(id);
    *request.mutable_sandbox_config() = pod;
    *request.mutable_config() = Container(Sh("true"));
    v1::Mount& mount = *request.mutable_config()->add_mounts();
    mount.set_container_path("/volume");
    mount.set_readonly(read_only);
    mount.mutable_image()->set_image(image);
    mount.set_image_sub_path(sub);
    return cri().Call(&v1::RuntimeService::Stub::CreateContainer, request).message();
  };
  EXPECT_THAT(create(Image("whiteouts:1"), "data/none", true),
              AllOf(StartsWith("ImageVolumeMountFailed"), HasSubstr("data/none")));
  EXPECT_THAT(create(Image("whiteouts:1"), "../data", true), StartsWith("ImageVolumeMountFailed"));
  EXPECT_THAT(create(Image("whiteouts:1"), "data/keep", true),
              AllOf(StartsWith("ImageVolumeMountFailed"), HasSubstr("not a folder")));
  EXPECT_THAT(create(Image("whiteouts:1"), "", false),
              AllOf(StartsWith("ImageVolumeMountFailed"), HasSubstr("read-only")));
  EXPECT_THAT(create(Image("never-pulled:1"), "", true), StartsWith("ImageVolumeMountFailed"));
}

// The moments are the clock's to choose; what must hold holds at all of them.
TEST_F(ImageSources, FiftyKillsDuringPullsLeaveAStoreThatOpensAndIsRight) {
  constexpr unsigned kSeed = 20261124;
  std::mt19937 random(kSeed);
  int finished = 0;
  for (int i = 0; i < 50; ++i) {
    SCOPED_TRACE(Cat("kill ", i, " of seed ", kSeed));
    std::jthread caller([&] { (void)cri().Pull(Image("big:1"), milliseconds(4000)); });
    std::this_thread::sleep_for(milliseconds(random() % 200));
    ASSERT_STATUS_OK(daemon().Kill());
    caller.join();
    StartAgain();
    EXPECT_EQ(daemon().Log().find("image store:"), std::string::npos) << daemon().Log();
    auto parts = base::ListFolder(daemon().options().state_root / "images/tmp");
    EXPECT_TRUE(parts && parts->empty());
    Run(BerthClient(), {"--socket", daemon().socket().string(), "check", "--contents"});
    if (!cri().ImageStatus(Image("big:1"))->has_image()) continue;
    ++finished;
    EXPECT_EQ(OutputOf(Image("big:1"), "stat -c %s /noise"), "25165824\n");
    RemoveEverything();
    ASSERT_CALL_OK(cri().RemoveImage(Image("big:1")));
  }
  ASSERT_CALL_OK(cri().Pull(Image("big:1")));
  EXPECT_EQ(OutputOf(Image("big:1"), "stat -c %s /noise"), "25165824\n");
  RecordProperty("finished", finished);
}

}  // namespace
}  // namespace berth::e2e
