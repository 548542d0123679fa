#include "container/process.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

image::ImageConfig Image(const Words& entrypoint, const Words& cmd) {
  image::ImageConfig out;
  out.entrypoint = entrypoint;
  out.cmd = cmd;
  return out;
}
cri::ContainerConfig Request(const Words& command, const Words& args) {
  cri::ContainerConfig out;
  for (const std::string& word : command) out.add_command(word);
  for (const std::string& word : args) out.add_args(word);
  return out;
}

TEST(Arguments, CommandReplacesBothArgsReplaceCmd) {
  struct Case {
    Words command, args, entrypoint, cmd, result;
  };
  for (const Case& one : {
           Case{{}, {}, {"e"}, {"c"}, {"e", "c"}},
           Case{{}, {}, {"e"}, {}, {"e"}},
           Case{{}, {}, {}, {"c"}, {"c"}},
           Case{{}, {"a"}, {"e"}, {"c"}, {"e", "a"}},
           Case{{}, {"a"}, {}, {"c"}, {"a"}},
           Case{{"k"}, {}, {"e"}, {"c"}, {"k"}},
           Case{{"k"}, {"a"}, {"e"}, {"c"}, {"k", "a"}},
           Case{{}, {}, {""}, {"c"}, {"c"}},
           Case{{}, {"$(HOME)"}, {"e"}, {}, {"e", "$(HOME)"}},
       }) {
    const auto arguments = Arguments(Request(one.command, one.args), Image(one.entrypoint, one.cmd));
    ASSERT_TRUE(arguments);
    EXPECT_EQ(*arguments, one.result);
  }
}

TEST(Arguments, NothingToRunIsRefused) {
  for (const auto& image : {Image({}, {}), Image({""}, {})}) {
    const auto arguments = Arguments(Request({}, {}), image);
    ASSERT_FALSE(arguments);
    EXPECT_EQ(arguments.error().code, base::Code::kInvalidArgument);
    EXPECT_NE(arguments.error().message.find("no command specified"), std::string::npos);
  }
}

TEST(Arguments, NulIsRefused) {
  EXPECT_FALSE(Arguments(Request({std::string("a\0b", 3)}, {}), Image({}, {})));
}

cri::ContainerConfig WithEnv(const std::vector<std::pair<std::string, std::string>>& envs) {
  cri::ContainerConfig out;
  for (const auto& [key, value] : envs) {
    out.add_envs()->set_key(key);
    out.mutable_envs(out.envs_size() - 1)->set_value(value);
  }
  return out;
}

TEST(Environment, LaterValueStandsAtTheFirstPlace) {
  image::ImageConfig image;
  image.env = {"A=image", "PATH=/image", "B=1=2", "EMPTY=", "NOTHING", "=x"};
  cri::ContainerConfig config = WithEnv({{"C", "1"}, {"A", "request"}, {"C", "2"}});
  config.set_tty(true);
  const auto environment = Environment(config, image, "web", "/home/app");
  ASSERT_TRUE(environment);
  EXPECT_EQ(*environment, (Words{"PATH=/image", "TERM=xterm", "HOSTNAME=web", "A=request", "B=1=2", "EMPTY=", "C=2",
                                 "HOME=/home/app"}));
}

TEST(Environment, WithoutATerminalThereIsNoTerm) {
  const auto environment = Environment({}, {}, "web", "/home/app");
  ASSERT_TRUE(environment);
  EXPECT_EQ(*environment, (Words{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=web",
                                 "HOME=/home/app"}));
}

TEST(Environment, TextIsKept) {
  const auto environment = Environment(WithEnv({{"B", "caf\u00e9\x01\n"}, {"odd key.1", "x"}}), {}, "web", "/home/app");
  ASSERT_TRUE(environment);
  EXPECT_EQ(environment->at(2), "B=caf\u00e9\x01\n");
  EXPECT_EQ(environment->at(3), "odd key.1=x");
}

TEST(Environment, HomeIsTheUsersUnlessItIsGiven) {
  EXPECT_EQ(Environment({}, {}, "web", "/home/app")->back(), "HOME=/home/app");
  EXPECT_EQ(Environment(WithEnv({{"HOME", "/srv"}}), {}, "web", "/home/app")->back(), "HOME=/srv");
}

TEST(Environment, ImpossibleNamesAndValuesAreRefused) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"", "x"}, {"A=B", "x"}, {std::string("A\0", 2), "x"}, {"A", std::string("x\0", 2)}, {"A", "caf\xe9"}}) {
    const auto environment = Environment(WithEnv({{key, value}}), {}, "web", "/home/app");
    ASSERT_FALSE(environment);
    EXPECT_EQ(environment.error().code, base::Code::kInvalidArgument);
  }
}

TEST(WorkingDirectory, RequestThenImageThenRoot) {
  cri::ContainerConfig config;
  image::ImageConfig image;
  EXPECT_EQ(*WorkingDirectory(config, image), "/");
  image.working_dir = "/image";
  EXPECT_EQ(*WorkingDirectory(config, image), "/image");
  config.set_working_dir("/request");
  EXPECT_EQ(*WorkingDirectory(config, image), "/request");
  config.set_working_dir("relative");
  EXPECT_FALSE(WorkingDirectory(config, image));
  config.clear_working_dir();
  image.working_dir = std::string("/image\0/x", 9);
  EXPECT_FALSE(WorkingDirectory(config, image));
}

}  // namespace
}  // namespace berth::container
