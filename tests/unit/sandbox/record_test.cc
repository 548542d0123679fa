#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cri-proto/api.pb.h"
#include "sandbox/sandbox.h"

namespace berth::sandbox {
namespace {

Sandbox Sample() {
  Sandbox out;
  out.id = "s1";
  auto config = std::make_shared<cri::PodSandboxConfig>();
  config->mutable_metadata()->set_name("web");
  // A field of a later version of the API.
  config->GetReflection()->MutableUnknownFields(config.get())->AddVarint(1000, 7);
  out.config = config;
  out.request_digest = "d";
  out.runtime_handler = "";
  out.runtime = "crun";
  out.cgroup_parent = "/kubepods/podu1";
  out.hostname = "web";
  out.net_namespace = "/run/netns/berth-s1";
  out.ipc_namespace = "/run/berth/s1/ns/ipc";
  out.uts_namespace = "/run/berth/s1/ns/uts";
  out.pid_namespace = "/proc/4/ns/pid";
  out.user_namespace = "/run/berth/sandboxes/x/ns/user";
  out.selinux_label = "u:r:t:s0";
  out.pause = {.pid = 4, .start_time = 99};
  out.boot_id = "b";
  out.created_at = 1'700'000'000'123'456'789;
  out.state = State::kNotReady;
  out.ips = {"10.1.2.3", "fd00::1"};
  out.cni_result = "{\"ips\": [\"\\n\"]}";
  return out;
}

TEST(SandboxRecord, EveryMemberSurvivesTheDisk) {
  const auto decoded = Decode(Encode(Sample()));
  ASSERT_TRUE(decoded) << decoded.error().message;
  const Sandbox wanted = Sample();
  EXPECT_EQ(decoded->id, wanted.id);
  EXPECT_EQ(decoded->config->SerializeAsString(), wanted.config->SerializeAsString());
  EXPECT_EQ(decoded->request_digest, wanted.request_digest);
  EXPECT_EQ(decoded->runtime_handler, wanted.runtime_handler);
  EXPECT_EQ(decoded->runtime, wanted.runtime);
  EXPECT_EQ(decoded->cgroup_parent, wanted.cgroup_parent);
  EXPECT_EQ(decoded->hostname, wanted.hostname);
  EXPECT_EQ(decoded->net_namespace, wanted.net_namespace);
  EXPECT_EQ(decoded->ipc_namespace, wanted.ipc_namespace);
  EXPECT_EQ(decoded->uts_namespace, wanted.uts_namespace);
  EXPECT_EQ(decoded->pid_namespace, wanted.pid_namespace);
  EXPECT_EQ(decoded->user_namespace, wanted.user_namespace);
  EXPECT_EQ(decoded->selinux_label, wanted.selinux_label);
  EXPECT_EQ(decoded->pause.pid, wanted.pause.pid);
  EXPECT_EQ(decoded->pause.start_time, wanted.pause.start_time);
  EXPECT_EQ(decoded->boot_id, wanted.boot_id);
  EXPECT_EQ(decoded->created_at, wanted.created_at);
  EXPECT_EQ(decoded->state, wanted.state);
  EXPECT_EQ(decoded->ips, wanted.ips);
  EXPECT_EQ(decoded->cni_result, wanted.cni_result);
}

TEST(SandboxRecord, CutOrFlippedTextIsAnErrorNotACrash) {
  const std::string good = Encode(Sample());
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(Decode(std::string_view(good).substr(0, length)));
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char byte : {'\0', '\xff', '"', '9', '{'}) {
      std::string bad = good;
      bad[at] = byte;
      (void)Decode(bad);
    }
  }
}

TEST(SandboxRecord, MembersOfAnotherKindOrRangeAreErrors) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, nlohmann::json>>{{"/version", 2},
                                                                                      {"/id", ""},
                                                                                      {"/id", ".."},
                                                                                      {"/id", "a/b"},
                                                                                      {"/config", "!"},
                                                                                      {"/config", "/////w=="},
                                                                                      {"/pause", 1},
                                                                                      {"/pause/pid", -1},
                                                                                      {"/pause/pid", int64_t{1} << 32},
                                                                                      {"/pause/start_time", -1},
                                                                                      {"/state", "gone"},
                                                                                      {"/state", nullptr},
                                                                                      {"/ips", "x"},
                                                                                      {"/ips", {1}},
                                                                                      {"/cni_result", {{"a", 1}}},
                                                                                      {"/created_at", "now"}}) {
    auto record = nlohmann::json::parse(Encode(Sample()));
    record[nlohmann::json::json_pointer(key)] = value;
    const auto decoded = Decode(record.dump());
    ASSERT_FALSE(decoded) << key << " " << value;
    EXPECT_EQ(decoded.error().code, base::Code::kInvalidArgument) << key;
  }
  for (const char* text : {"", "null", "[]", "{}", "{\"version\":1}"}) EXPECT_FALSE(Decode(text)) << text;
}

TEST(SandboxState, EveryPairIsDecided) {
  EXPECT_FALSE(CanChange(State::kReady, State::kReady));
  EXPECT_TRUE(CanChange(State::kReady, State::kNotReady));
  EXPECT_FALSE(CanChange(State::kNotReady, State::kReady));
  EXPECT_FALSE(CanChange(State::kNotReady, State::kNotReady));
}

}  // namespace
}  // namespace berth::sandbox
