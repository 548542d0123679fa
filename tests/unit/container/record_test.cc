#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "container/container.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

Container Sample() {
  Container out;
  out.id = "c1";
  out.sandbox_id = "s1";
  auto config = std::make_shared<cri::ContainerConfig>();
  config->mutable_metadata()->set_name("web");
  config->add_envs()->set_value(std::string("\xff\0x", 3));
  // A field of a later version of the API.
  config->GetReflection()->MutableUnknownFields(config.get())->AddVarint(1000, 7);
  out.config = config;
  out.request_digest = "d";
  out.image_id = "sha256:1";
  out.image_name = "registry/app:1";
  out.image_ref = "registry/app@sha256:2";
  out.chain_ids = {"sha256:3", "sha256:4"};
  out.runtime = "crun";
  out.cgroups_path = "/kubepods/p/berth-c1";
  out.log_path = "/var/log/\xff.log";
  out.stop_signal = 37;
  out.uid = 2147483647;
  out.gid = 1;
  out.groups = {0, 7};
  out.own_pid_namespace = false;
  out.created_at = 1'700'000'000'123'456'789;
  out.started_at = 2;
  out.state = State::kExited;
  out.exit = {.code = -1, .finished_at = 5, .reason = "OOMKilled", .message = "a \"quoted\"\nline"};
  out.boot_id = "b";
  out.process = {.pid = 4, .start_time = 99};
  out.monitor = {.pid = 5, .start_time = 100};
  return out;
}

TEST(ContainerRecord, EveryMemberSurvivesTheDisk) {
  const auto decoded = Decode(Encode(Sample()));
  ASSERT_TRUE(decoded) << decoded.error().message;
  const Container wanted = Sample();
  EXPECT_EQ(decoded->id, wanted.id);
  EXPECT_EQ(decoded->sandbox_id, wanted.sandbox_id);
  EXPECT_EQ(decoded->config->SerializeAsString(), wanted.config->SerializeAsString());
  EXPECT_EQ(decoded->request_digest, wanted.request_digest);
  EXPECT_EQ(decoded->image_id, wanted.image_id);
  EXPECT_EQ(decoded->image_name, wanted.image_name);
  EXPECT_EQ(decoded->image_ref, wanted.image_ref);
  EXPECT_EQ(decoded->chain_ids, wanted.chain_ids);
  EXPECT_EQ(decoded->runtime, wanted.runtime);
  EXPECT_EQ(decoded->cgroups_path, wanted.cgroups_path);
  EXPECT_EQ(decoded->stop_signal, wanted.stop_signal);
  EXPECT_EQ(decoded->uid, wanted.uid);
  EXPECT_EQ(decoded->gid, wanted.gid);
  EXPECT_EQ(decoded->groups, wanted.groups);
  EXPECT_EQ(decoded->own_pid_namespace, wanted.own_pid_namespace);
  EXPECT_EQ(decoded->created_at, wanted.created_at);
  EXPECT_EQ(decoded->started_at, wanted.started_at);
  EXPECT_EQ(decoded->state, wanted.state);
  EXPECT_EQ(decoded->exit.code, wanted.exit.code);
  EXPECT_EQ(decoded->exit.finished_at, wanted.exit.finished_at);
  EXPECT_EQ(decoded->exit.reason, wanted.exit.reason);
  EXPECT_EQ(decoded->exit.message, wanted.exit.message);
  EXPECT_EQ(decoded->boot_id, wanted.boot_id);
  EXPECT_EQ(decoded->process.pid, wanted.process.pid);
  EXPECT_EQ(decoded->process.start_time, wanted.process.start_time);
  EXPECT_EQ(decoded->monitor.pid, wanted.monitor.pid);
  EXPECT_EQ(decoded->monitor.start_time, wanted.monitor.start_time);
}

TEST(ContainerRecord, NewContainerSurvivesTheDisk) {
  Container fresh;
  fresh.id = "c1";
  fresh.sandbox_id = "s1";
  fresh.config = std::make_shared<cri::ContainerConfig>();
  const auto decoded = Decode(Encode(fresh));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->state, State::kCreated);
  EXPECT_EQ(decoded->stop_signal, 15);
}

TEST(ContainerRecord, CutOrFlippedTextIsAnErrorNotACrash) {
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

// Good but for one member.
std::string With(const char* key, nlohmann::json value) {
  auto record = nlohmann::json::parse(Encode(Sample()), nullptr, false);
  record[nlohmann::json::json_pointer(key)] = std::move(value);
  return record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

TEST(ContainerRecord, MembersOfAnotherKindOrRangeAreErrors) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, nlohmann::json>>{{"/version", 2},
                                                           {"/version", "1"},
                                                           {"/id", ""},
                                                           {"/id", ".."},
                                                           {"/id", "a/b"},
                                                           {"/id", 1},
                                                           {"/sandbox_id", "../x"},
                                                           {"/sandbox_id", ""},
                                                           {"/config", "!"},
                                                           {"/config", "/////w=="},
                                                           {"/chain_ids", "x"},
                                                           {"/chain_ids", {1}},
                                                           {"/stop_signal", 0},
                                                           {"/stop_signal", 65},
                                                           {"/uid", -1},
                                                           {"/gid", int64_t{1} << 31},
                                                           {"/groups", {-1}},
                                                           {"/groups", {"a"}},
                                                           {"/groups", {1.5}},
                                                           {"/groups", 1},
                                                           {"/state", "gone"},
                                                           {"/state", 1},
                                                           {"/exit", 1},
                                                           {"/exit/code", "x"},
                                                           {"/process", nlohmann::json::array()},
                                                           {"/process/pid", -1},
                                                           {"/process/pid", int64_t{1} << 32},
                                                           {"/process/start_time", -5},
                                                           {"/monitor/pid", -1},
                                                           {"/monitor/pid", "4"},
                                                           {"/own_pid_namespace", 1},
                                                           {"/created_at", 18446744073709551615ULL}}) {
    const auto decoded = Decode(With(key, value));
    ASSERT_FALSE(decoded) << key << " " << value;
    EXPECT_EQ(decoded.error().code, base::Code::kInvalidArgument) << key;
  }
  for (const char* text : {"", "null", "[]", "1", "{}", "{\"version\":1}"}) EXPECT_FALSE(Decode(text)) << text;
}

TEST(ContainerRecord, MembersOfALaterVersionAreIgnored) {
  EXPECT_TRUE(Decode(With("/new", {{"a", 1}})));
}

}  // namespace
}  // namespace berth::container
