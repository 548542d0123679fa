#include "container/state.h"

#include <gtest/gtest.h>

#include "container/container.h"
#include "container/stop_signal.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

TEST(ContainerState, EveryPairIsDecided) {
  struct Pair {
    State from, to;
    bool allowed;
  };
  for (const Pair& pair : {Pair{State::kCreated, State::kCreated, false}, Pair{State::kCreated, State::kRunning, true},
                           Pair{State::kCreated, State::kExited, true}, Pair{State::kRunning, State::kCreated, false},
                           Pair{State::kRunning, State::kRunning, false}, Pair{State::kRunning, State::kExited, true},
                           Pair{State::kExited, State::kCreated, false}, Pair{State::kExited, State::kRunning, false},
                           Pair{State::kExited, State::kExited, false}}) {
    EXPECT_EQ(CanChange(pair.from, pair.to), pair.allowed) << StateName(pair.from) << " to " << StateName(pair.to);
  }
}

Container Sample() {
  Container out;
  out.id = "c1";
  out.sandbox_id = "s1";
  auto config = std::make_shared<cri::ContainerConfig>();
  config->mutable_metadata()->set_name("web");
  config->add_envs()->set_value(std::string("\xff\0x", 3));
  out.config = config;
  out.groups = {0, 7};
  out.state = State::kExited;
  out.exit = {.code = 137, .finished_at = 5, .reason = "OOMKilled", .message = "m"};
  out.process = {.pid = 4, .start_time = 99};
  return out;
}

TEST(ContainerRecord, SurvivesTheDisk) {
  const auto decoded = Decode(Encode(Sample()));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->id, "c1");
  EXPECT_EQ(decoded->config->SerializeAsString(), Sample().config->SerializeAsString());
  EXPECT_EQ(decoded->groups, (std::vector<int64_t>{0, 7}));
  EXPECT_EQ(decoded->state, State::kExited);
  EXPECT_EQ(decoded->exit.reason, "OOMKilled");
  EXPECT_EQ(decoded->process.start_time, 99u);
}

TEST(ContainerRecord, ForeignTextIsAnError) {
  const std::string good = Encode(Sample());
  EXPECT_FALSE(Decode(""));
  EXPECT_FALSE(Decode("[]"));
  EXPECT_FALSE(Decode("{\"version\":2}"));
  for (size_t length = 0; length < good.size(); length += 7) EXPECT_FALSE(Decode(std::string_view(good).substr(0, length)));
}

TEST(ContainerRecord, ExitedStaysExited) {
  const auto changed = WithState(Sample(), State::kRunning);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, base::Code::kFailedPrecondition);
}

TEST(StopSignal, NamesAndNumbersOfEveryForm) {
  struct Case {
    const char* text;
    int number;
  };
  for (const Case& one : {Case{"SIGTERM", 15}, Case{"term", 15}, Case{"9", 9}, Case{"RTMIN+3", 37}, Case{"SIGRTMAX-1", 63}, Case{"SIGRTMIN", 34}}) {
    const auto parsed = ParseSignal(one.text);
    ASSERT_TRUE(parsed) << one.text;
    EXPECT_EQ(*parsed, one.number) << one.text;
  }
  for (const char* text : {"", "SIGNOPE", "0", "65", "RTMIN-1", "RTMAX+1", "RTMIN+99", "15x"}) EXPECT_FALSE(ParseSignal(text)) << text;
}

TEST(StopSignal, CriNumbersGoThereAndBack) {
  for (int number = 1; number <= 64; ++number) {
    if (number == 32 || number == 33) continue;  // libc's own
    EXPECT_EQ(SignalFromCri(SignalToCri(number)), number) << number;
  }
}

TEST(StopSignal, RequestThenImageThenTerm) {
  EXPECT_EQ(*StopSignal(8, "SIGINT"), 1);
  EXPECT_EQ(*StopSignal(0, "SIGINT"), 2);
  EXPECT_EQ(*StopSignal(0, ""), 15);
  EXPECT_FALSE(StopSignal(0, "SIGNOPE"));
}

}  // namespace
}  // namespace berth::container
