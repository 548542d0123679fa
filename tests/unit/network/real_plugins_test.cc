// The distribution's own bridge, host-local and portmap plugins, in a network namespace that stands for the host's.
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/network.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kBinDir = "/usr/lib/cni";

// The whole process moves, so that the links and rules of the machine stay untouched.
bool Isolate() {
  static const bool isolated =
      unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return isolated;
}

// A network namespace pinned on a file, unpinned at the end.
class PinnedNamespace {
 public:
  explicit PinnedNamespace(base::Path path) : path_(std::move(path)) {
    EXPECT_TRUE(base::WriteFile(path_, ""));
    std::thread([this] {
      pinned_ = unshare(CLONE_NEWNET) == 0 &&
                mount("/proc/thread-self/ns/net", path_.c_str(), nullptr, MS_BIND, nullptr) == 0;
    }).join();
    EXPECT_TRUE(pinned_) << strerror(errno);
  }
  PinnedNamespace(const PinnedNamespace&) = delete;
  PinnedNamespace& operator=(const PinnedNamespace&) = delete;
  ~PinnedNamespace() { Unpin(); }
  void Unpin() {
    if (!std::exchange(pinned_, false)) return;
    EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0);
    EXPECT_TRUE(base::RemoveFile(path_));
  }
  const base::Path& path() const { return path_; }

  // IPv4 addresses of eth0 within.
  std::vector<std::string> Addresses() const {
    std::vector<std::string> out;
    std::thread([&] {
      const auto fd = base::Open(path_, O_RDONLY);
      ifaddrs* list = nullptr;
      if (!fd || setns(fd->get(), CLONE_NEWNET) != 0 || getifaddrs(&list) != 0) return;
      for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET ||
            std::strcmp(entry->ifa_name, "eth0") != 0)
          continue;
        sockaddr_in address{};
        std::memcpy(&address, entry->ifa_addr, sizeof address);
        char text[INET_ADDRSTRLEN];
        if (inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) != nullptr) out.emplace_back(text);
      }
      freeifaddrs(list);
    }).join();
    return out;
  }

 private:
  base::Path path_;
  bool pinned_ = false;
};

class RealPluginsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    for (const char* plugin : {"bridge", "host-local", "portmap"}) {
      if (!base::Exists(base::Path(kBinDir) / plugin)) GTEST_SKIP() << "no CNI plugin " << plugin << " in " << kBinDir;
    }
    if (!Isolate()) GTEST_SKIP() << "not permitted to unshare namespaces: " << strerror(errno);
    Configure("");
  }
  void Configure(const std::string& more) {
    Write(folder_.path() / "net.d/10-pods.conflist",
          base::Cat(R"({"cniVersion":"1.0.0","name":"pods","plugins":[
            {"type":"bridge","bridge":"berthtest0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","dataDir":")",
                    (folder_.path() / "leases").native(),
                    R"(","ranges":[[{"subnet":"10.213.7.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
            {"type":"portmap","capabilities":{"portMappings":true}})",
                    more, "]}"));
    Options options{.conf_dir = folder_.path() / "net.d",
                    .bin_dirs = {kBinDir, folder_.path() / "bin"},
                    .cache_dir = folder_.path() / "cache"};
    auto opened = Network::Open(std::move(options));
    ASSERT_TRUE(opened) << opened.error().Text();
    network_ = *std::move(opened);
  }
  AttachRequest Pod(const PinnedNamespace& pinned, const std::string& id) {
    return {.sandbox_id = id,
            .netns = pinned.path(),
            .pod_name = "web",
            .pod_namespace = "shop",
            .pod_uid = "u",
            .port_mappings = {{"tcp", 80, 18080, ""}}};
  }
  // Addresses that host-local has given out.
  std::vector<std::string> Leases() {
    std::vector<std::string> out;
    const auto names = base::ListFolder(folder_.path() / "leases/pods");
    if (!names) return out;
    for (const std::string& name : *names) {
      if (name.starts_with("10.")) out.push_back(name);
    }
    return out;
  }
  // Links of the stand-in for the host, but lo and the bridge.
  static size_t Veths() {
    size_t count = 0;
    struct if_nameindex* links = if_nameindex();
    for (auto* link = links; link != nullptr && link->if_index != 0; ++link)
      count += std::strncmp(link->if_name, "veth", 4) == 0;
    if (links != nullptr) if_freenameindex(links);
    return count;
  }

  TempFolder folder_;
  std::unique_ptr<Network> network_;
};

TEST_F(RealPluginsTest, PluginsAreReady) {
  const auto status = network_->Status({});
  EXPECT_TRUE(status) << status.error().Text();
}

TEST_F(RealPluginsTest, AddGivesTheAddressThatTheNamespaceHas) {
  const PinnedNamespace pinned(folder_.path() / "ns");
  const auto attachment = network_->Add(Pod(pinned, "aa"), {});
  ASSERT_TRUE(attachment) << attachment.error().Text();
  EXPECT_EQ(pinned.Addresses(), attachment->ips);
  EXPECT_EQ(Leases(), attachment->ips);
  EXPECT_EQ(Veths(), 1u);
  const auto gone = network_->Del(Pod(pinned, "aa"), {});
  EXPECT_TRUE(gone) << gone.error().Text();
  EXPECT_THAT(pinned.Addresses(), IsEmpty());
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_EQ(Veths(), 0u);
  EXPECT_TRUE(network_->Del(Pod(pinned, "aa"), {}));
}

TEST_F(RealPluginsTest, CheckSeesWhetherTheLinkIsThere) {
  PinnedNamespace pinned(folder_.path() / "ns");
  AttachRequest pod = Pod(pinned, "ff");
  pod.port_mappings.clear();  // the CHECK of portmap 1.1 wants IPv6 rules even for a pod with IPv4 alone
  ASSERT_TRUE(network_->Add(pod, {}));
  const auto checked = network_->Check(pod, {});
  EXPECT_TRUE(checked) << checked.error().Text();
  pinned.Unpin();
  EXPECT_FALSE(network_->Check(pod, {}));
  EXPECT_TRUE(network_->Del(pod, {}));
}

TEST_F(RealPluginsTest, DelAfterTheNamespaceIsGoneFreesTheAddress) {
  PinnedNamespace pinned(folder_.path() / "ns");
  ASSERT_TRUE(network_->Add(Pod(pinned, "bb"), {}));
  pinned.Unpin();
  const auto gone = network_->Del(Pod(pinned, "bb"), {});
  EXPECT_TRUE(gone) << gone.error().Text();
  EXPECT_THAT(Leases(), IsEmpty());
}

TEST_F(RealPluginsTest, DelAfterAFailedAddLeavesNothing) {
  Write(folder_.path() / "bin/refuses", "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\necho no luck >&2\nexit 1\n",
        0755);
  Configure(R"(,{"type":"refuses"})");
  const PinnedNamespace pinned(folder_.path() / "ns");
  const auto attachment = network_->Add(Pod(pinned, "cc"), {});
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().Text(), "network pods: plugin refuses failed (ADD): exit code 1: no luck");
  EXPECT_THAT(*network_->Attached(), ElementsAre("cc"));
  const auto undone = network_->Del(Pod(pinned, "cc"), {});
  EXPECT_TRUE(undone) << undone.error().Text();
  EXPECT_THAT(pinned.Addresses(), IsEmpty());
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_EQ(Veths(), 0u);
  EXPECT_THAT(*network_->Attached(), IsEmpty());
}

TEST_F(RealPluginsTest, GcFreesTheAddressOfALostPod) {
  PinnedNamespace lost(folder_.path() / "lost");
  const PinnedNamespace kept(folder_.path() / "kept");
  ASSERT_TRUE(network_->Add(Pod(lost, "dd"), {}));
  const auto attachment = network_->Add(
      [&] {
        AttachRequest pod = Pod(kept, "ee");
        pod.port_mappings.clear();
        return pod;
      }(),
      {});
  ASSERT_TRUE(attachment) << attachment.error().Text();
  lost.Unpin();
  const auto status = network_->Gc({"ee"}, {});
  EXPECT_TRUE(status) << status.error().Text();
  EXPECT_EQ(Leases(), attachment->ips);
  EXPECT_TRUE(network_->Del(Pod(kept, "ee"), {}));
}

TEST_F(RealPluginsTest, PodsAreAttachedInParallel) {
  constexpr int kPods = 8;
  std::vector<std::unique_ptr<PinnedNamespace>> pinned;
  for (int i = 0; i < kPods; ++i)
    pinned.push_back(std::make_unique<PinnedNamespace>(folder_.path() / base::Cat("ns", i)));
  std::vector<std::string> ips(kPods);
  std::vector<std::thread> threads;
  for (int i = 0; i < kPods; ++i) {
    threads.emplace_back([&, i] {
      AttachRequest pod = Pod(*pinned[static_cast<size_t>(i)], base::Cat("p", i));
      pod.port_mappings[0].host_port += i;
      const auto attachment = network_->Add(pod, {});
      EXPECT_TRUE(attachment) << attachment.error().Text();
      if (attachment) ips[static_cast<size_t>(i)] = attachment->ips.at(0);
      const auto gone = network_->Del(pod, {});
      EXPECT_TRUE(gone) << gone.error().Text();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_EQ(std::set<std::string>(ips.begin(), ips.end()).size(), static_cast<size_t>(kPods));
}

}  // namespace
}  // namespace berth::network
