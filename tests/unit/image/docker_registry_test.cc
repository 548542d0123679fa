// The registry that most are made of, as a child: what our fake may have got wrong shows here.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "base/child.h"
#include "base/file.h"
#include "base/strings.h"
#include "fake_registry.h"
#include "image/media_type.h"
#include "image/pull.h"
#include "image/store.h"

namespace berth::image {
namespace {

constexpr const char* kProgram = "/usr/bin/docker-registry";

class DockerRegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!base::Exists(kProgram)) GTEST_SKIP() << kProgram << " is not there";
    std::string name = "/tmp/berth-registry-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    port_ = FreePort();
    ASSERT_TRUE(base::WriteFile(folder_ / "config.yml",
                                base::Cat("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ",
                                          name, "/data}}\nhttp: {addr: 127.0.0.1:", port_, "}\n")));
    base::UniqueFd log = *base::Open(folder_ / "log", O_WRONLY | O_CREAT, 0600);
    base::SpawnOptions spawn;
    spawn.program = kProgram;
    spawn.arguments = {kProgram, "serve", folder_ / "config.yml"};
    spawn.environment = {"PATH=/usr/bin:/bin", "OTEL_TRACES_EXPORTER=none"};
    spawn.fds = {{log.get(), 1}, {log.get(), 2}};
    auto child = base::Spawn(spawn);
    ASSERT_TRUE(child) << child.error().Text();
    child_ = *std::move(child);
    ASSERT_TRUE(Listening()) << base::ReadFile(folder_ / "log").value_or("");
  }
  void TearDown() override {
    child_.KillGroup();
    if (child_.pid() > 0) (void)child_.Wait({}, "the registry's end");
    if (folder_.empty()) return;
    EXPECT_TRUE(base::RemoveTree(folder_));
  }

  // The kernel's choice; taken again by the registry right away.
  static int FreePort() {
    base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    return ntohs(address.sin_port);
  }
  // There is nothing to wait for but the port: the child says nothing when it is ready.
  bool Listening() const {
    const base::Context bound = base::Context().WithTimeout(std::chrono::seconds(30));
    HttpClient http({});
    HttpRequest ping;
    ping.url = base::Cat("http://127.0.0.1:", port_, "/v2/");
    while (bound.Check("registry")) {
      if (http.Do(ping, bound)) return true;
      const auto ended =
          bound.Wait(child_.pidfd(), POLLIN, "registry", base::Monotonic::now() + std::chrono::milliseconds(20));
      if (!ended || *ended) return false;
    }
    return false;
  }

  void Curl(std::vector<std::string> arguments) {
    base::RunOptions run;
    run.spawn.program = "/usr/bin/curl";
    run.spawn.arguments = {"curl", "-fsS", "--noproxy", "*"};
    run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
    const auto done = base::Run(run, base::Context().WithTimeout(std::chrono::seconds(30)));
    ASSERT_TRUE(done) << done.error().Text();
    ASSERT_EQ(done->exit.code, 0) << done->errors;
    answer_ = done->output;
  }
  void Upload(const std::string& bytes) {
    ASSERT_TRUE(base::WriteFile(folder_ / "blob", bytes));
    const std::string uploads = base::Cat("http://127.0.0.1:", port_, "/v2/team/app/blobs/uploads/");
    ASSERT_NO_FATAL_FAILURE(Curl({"-X", "POST", "-o", "/dev/null", "-w", "%header{location}", uploads}));
    const std::string location =
        base::Cat(answer_, answer_.find('?') == std::string::npos ? "?" : "&", "digest=", Sha256::Of(bytes).str());
    ASSERT_NO_FATAL_FAILURE(Curl({"-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary",
                                  "@" + (folder_ / "blob").native(), location}));
  }

  base::Path folder_;
  int port_ = 0;
  base::Child child_;
  std::string answer_;
};

TEST_F(DockerRegistryTest, ImageIsPulledAndStored) {
  if (!base::Exists("/usr/bin/curl")) GTEST_SKIP() << "curl is not there";
  const fake::FakeImage pushed =
      fake::MakeImage({fake::Tar({{"a", "lower"}, {"noise", fake::Noise(300'000)}}), fake::Tar({{"a", "upper"}})});
  for (const std::string& layer : pushed.layers) ASSERT_NO_FATAL_FAILURE(Upload(layer));
  ASSERT_NO_FATAL_FAILURE(Upload(pushed.config));
  ASSERT_TRUE(base::WriteFile(folder_ / "manifest", pushed.manifest));
  ASSERT_NO_FATAL_FAILURE(
      Curl({"-X", "PUT", "-H", base::Cat("Content-Type: ", kOciManifest), "--data-binary",
            "@" + (folder_ / "manifest").native(), base::Cat("http://127.0.0.1:", port_, "/v2/team/app/manifests/1")}));

  auto store = Store::Open({.folder = folder_ / "images", .pinned = {}, .limits = {}});
  ASSERT_TRUE(store) << store.error().Text();
  Puller::Options options;
  options.store = store->get();
  Puller puller(options);
  const std::string name = base::Cat("localhost:", port_, "/team/app");
  const auto pulled = puller.Pull(*Reference::Parse(name + ":1"), {}, {});
  ASSERT_TRUE(pulled) << pulled.error().Text();
  EXPECT_EQ(pulled->image_id, pushed.config_digest);
  EXPECT_EQ(pulled->digest, pushed.manifest_digest);
  const auto missing = puller.Pull(*Reference::Parse(name + ":2"), {}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Code::kNotFound) << missing.error().Text();
  const auto by_digest =
      puller.Pull(*Reference::Parse("127.0.0.1" + name.substr(9) + "@" + pushed.manifest_digest.str()), {}, {});
  EXPECT_TRUE(by_digest) << by_digest.error().Text();
}

}  // namespace
}  // namespace berth::image
