// `berth check` and `berthd check`: each kind of damage is told, and after a repair a pull and a container work again.
#include <unistd.h>

#include "base/child.h"
#include "tests/e2e/harness/image_sources.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

class StoreCheck : public ImageSources {
 protected:
  void SetUp() override {
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    PullIt();
  }
  void PullIt() {
    const auto pulled = cri().Pull(image_);
    ASSERT_CALL_OK(pulled);
    id_ = pulled->image_ref();
  }
  Path images() { return daemon().options().state_root / "images"; }
  Path record() { return images() / "records" / (id_.substr(7) + ".json"); }
  // The layer that has the file of this name.
  Path Layer(const std::string& file) {
    const auto layers = base::ListFolder(images() / "layers");
    for (size_t i = 0; layers && i < layers->size(); ++i) {
      const Path layer = images() / "layers" / (*layers)[i];
      if (base::Exists(layer / "diff" / file)) return layer;
    }
    ADD_FAILURE() << "no layer has " << file;
    return {};
  }
  size_t Kept() {
    const auto names = base::ListFolder(images() / "retired/layers");
    EXPECT_TRUE(names);
    return names ? names->size() : 0;
  }
  struct Answer {
    int code = -1;
    std::string output;
  };
  Answer Ask(const Path& program, std::vector<std::string> arguments) {
    base::RunOptions run{.spawn = {.program = program, .arguments = std::move(arguments)}};
    const auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(120)));
    EXPECT_TRUE(done) << (done ? "" : done.error().Text());
    return done ? Answer{done->exit.code, done->output + done->errors} : Answer();
  }
  Answer Check(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> arguments{"berth", "--socket", daemon().socket().string(), "check"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return Ask(BerthClient(), arguments);
  }
  // Told, repaired, told no more; and the image works, pulled again where it had to go.
  void ExpectRepaired(const std::string& told, bool removed) {
    const Answer found = Check({"--contents"});
    EXPECT_EQ(found.code, 1);
    EXPECT_THAT(found.output, HasSubstr(told));
    const Answer repaired = Check({"--contents", "--repair"});
    EXPECT_THAT(repaired.output, AnyOf(HasSubstr("; taken away"), HasSubstr("; written again")));
    EXPECT_THAT(repaired.output, Not(HasSubstr("not repaired")));
    EXPECT_EQ(!Listed(image_), removed) << repaired.output;
    const Answer after = Check({"--contents"});
    EXPECT_EQ(after.code, 0) << after.output;
    ASSERT_CALL_OK(cri().Pull(image_));
    EXPECT_EQ(OutputOf(image_, "cat /zstd"), "zstd\n");
    RemoveEverything();
  }

  const std::string image_ = Image("busybox:zstd");
  std::string id_;
};

TEST_F(StoreCheck, WhatIsBrokenIsTakenAwayAndNothingElse) {
  {
    SCOPED_TRACE("record cut short");
    ASSERT_EQ(truncate(record().c_str(), 100), 0);
    ExpectRepaired("record: ", false);
  }
  {
    SCOPED_TRACE("record missing");
    ASSERT_STATUS_OK(base::RemoveFile(record()));
    ExpectRepaired("record: ", false);
  }
  {
    SCOPED_TRACE("folder of a layer missing");
    ASSERT_STATUS_OK(base::RemoveTree(Layer("zstd")));
    ExpectRepaired("layer: ", true);
  }
  {
    SCOPED_TRACE("record of a layer cut short");
    ASSERT_EQ(truncate((Layer("zstd") / "layer.json").c_str(), 10), 0);
    ExpectRepaired("layer: ", true);
  }
  {
    SCOPED_TRACE("file missing");
    ASSERT_STATUS_OK(base::RemoveFile(Layer("zstd") / "diff/zstd"));
    ExpectRepaired("files and folders where", true);
  }
  {
    SCOPED_TRACE("file changed");
    ASSERT_STATUS_OK(base::WriteFile(Layer("zstd") / "diff/zstd", "other"));
    ExpectRepaired("the contents have changed", true);
  }
  {
    SCOPED_TRACE("folder of nobody");
    ASSERT_STATUS_OK(base::MakeDirs(images() / "layers/nobody/diff"));
    ExpectRepaired("layers/nobody: belongs to no image", false);
  }
}

TEST_F(StoreCheck, AContainerKeepsItsBrokenLayerWhileTheImageIsPulledAgain) {
  Made made = RunContainer(Sh("while [ ! -e /go ]; do sleep 0.05; done; cat /zstd"),
                           [&](auto&, v1::ContainerConfig& config) { config.mutable_image()->set_image(image_); });
  ASSERT_STATUS_OK(base::WriteFile(Layer("zstd") / "diff/stranger", "x"));
  EXPECT_THAT(Check({"--repair"}).output, HasSubstr("removed image " + id_));
  ASSERT_CALL_OK(cri().Pull(image_));
  EXPECT_FALSE(base::Exists(Layer("zstd") / "diff/stranger"));
  EXPECT_EQ(Kept(), 1u);
  Restart();
  EXPECT_EQ(Kept(), 1u);
  ASSERT_CALL_OK(cri().Exec(made.container, {"touch", "/go"}));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "zstd\n");
  RemoveEverything();
  EXPECT_TRUE(Eventually([&] { return Kept() == 0; }));
  EXPECT_EQ(Check({"--contents"}).code, 0);
}

TEST_F(StoreCheck, BerthdChecksWhileItDoesNotServe) {
  const std::vector<std::string> check{"berthd", "--config", daemon().config_file().string(), "check", "--contents"};
  std::vector<std::string> repair = check;
  repair.push_back("--repair");
  const Answer refused = Ask(Berthd(), check);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("`berth check` asks it"));
  ASSERT_STATUS_OK(daemon().Stop());
  EXPECT_EQ(Ask(Berthd(), check).code, 0);
  ASSERT_STATUS_OK(base::WriteFile(Layer("zstd") / "diff/zstd", "other"));
  const Answer found = Ask(Berthd(), check);
  EXPECT_EQ(found.code, 1);
  EXPECT_THAT(found.output, HasSubstr("the contents have changed"));
  EXPECT_THAT(Ask(Berthd(), repair).output, HasSubstr("removed image " + id_));
  EXPECT_EQ(Ask(Berthd(), check).code, 0);
  StartAgain();
  EXPECT_EQ(Kept(), 0u);
  EXPECT_FALSE(Listed(image_));
  ASSERT_CALL_OK(cri().Pull(image_));
  EXPECT_EQ(OutputOf(image_, "cat /zstd"), "zstd\n");
}

}  // namespace
}  // namespace berth::e2e
