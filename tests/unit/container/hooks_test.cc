#include "container/hooks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/kernel/temp_folder.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

std::string File(const std::string& when, const std::string& rest = R"("stages":["prestart"])",
                 const std::string& path = "/bin/hook") {
  return base::Cat(R"({"version":"1.0.0","hook":{"path":")", path, R"("},"when":)", when, ",", rest, "}");
}
// Whether the hook is for this container; an error's text otherwise.
std::string Judge(const std::string& when, const HookSubject& subject) {
  const auto file = HookFile::Parse(File(when), "h");
  if (!file) return file.error().message;
  return file->Matches(subject) ? "yes" : "no";
}

TEST(HookFile, EveryConditionMustHold) {
  const HookSubject subject{.command = "/usr/bin/nvidia-smi",
                            .annotations = {{"vendor.example/gpu", "all"}, {"other", "x"}},
                            .has_bind_mounts = true};
  const struct {
    const char* when;
    const char* verdict;
  } cases[] = {
      {R"({"always":true})", "yes"},
      {R"({"always":false})", "no"},
      {R"({"always":false,"hasBindMounts":true})", "no"},
      {R"({"hasBindMounts":true})", "yes"},
      {R"({"hasBindMounts":false})", "no"},
      {R"({"commands":["^/bin/sh$","nvidia-.*"]})", "yes"},
      {R"({"commands":["^nvidia"]})", "no"},
      {R"({"annotations":{"^vendor\\.example/gpu$":"^(all|one)$"}})", "yes"},
      {R"({"annotations":{"gpu":"none"}})", "no"},
      {R"({"annotations":{"gpu":"all","missing":".*"}})", "no"},
      {R"({"annotations":{"gpu":"x"}})", "no"},  // the value is another annotation's
      {R"({"annotations":{"gpu":"all"},"commands":["smi$"],"hasBindMounts":true})", "yes"},
      {R"({"annotations":{"gpu":"all"},"commands":["bash$"],"hasBindMounts":true})", "no"},
  };
  for (const auto& one : cases) EXPECT_EQ(Judge(one.when, subject), one.verdict) << one.when;
}

TEST(HookFile, HookIsAddedAtEachOfItsStages) {
  const auto file =
      HookFile::Parse(R"({"version":"1.0.0","hook":{"path":"/bin/hook","args":["hook","-x"],"env":["A=b"],"timeout":5},
                                        "when":{"always":true},"stages":["createRuntime","poststop","poststop"]})",
                      "h");
  ASSERT_TRUE(file) << file.error().message;
  oci::Hooks hooks;
  file->AddTo(hooks);
  ASSERT_EQ(hooks.create_runtime.size(), 1U);
  EXPECT_EQ(hooks.create_runtime[0].path, "/bin/hook");
  EXPECT_EQ(hooks.create_runtime[0].args, (Words{"hook", "-x"}));
  EXPECT_EQ(hooks.create_runtime[0].env, Words{"A=b"});
  EXPECT_EQ(hooks.create_runtime[0].timeout, 5);
  EXPECT_EQ(hooks.poststop.size(), 1U);
  EXPECT_TRUE(hooks.prestart.empty() && hooks.poststart.empty() && hooks.create_container.empty() &&
              hooks.start_container.empty());
}

TEST(HookFile, WhatMeansNothingIsRefusedByName) {
  const std::string good = R"({"always":true})";
  const struct {
    std::string text;
    const char* part;
  } cases[] = {
      {"", "h"},
      {"[]", "h"},
      {R"({"version":"0.1.0","hook":"/bin/hook"})", "version \"0.1.0\""},
      {R"({"version":"1.0.0"})", "hook is missing"},
      {File(good, R"("stages":["prestart"])", "relative"), "hook.path"},
      {File(good, R"("stages":[])"), "stages are missing"},
      {File(good, R"("stages":["later"])"), "stage \"later\""},
      {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":["prestart"]})", "when is missing"},
      {File("{}"), "no condition"},
      {File(R"({"commands":[]})"), "no condition"},
      {File(R"({"sometimes":true})"), "condition \"sometimes\""},
      {File(R"({"always":"yes"})"), "always"},
      {File(R"({"commands":["("]})"), "\"(\" is no regular expression"},
      {File(R"({"annotations":{"a":"["}})"), "\"[\" is no regular expression"},
      {R"({"version":"1.0.0","hook":{"path":"/a","timeout":0},"when":{"always":true},"stages":["prestart"]})",
       "hook.timeout"},
  };
  for (const auto& one : cases) {
    const auto file = HookFile::Parse(one.text, "h");
    ASSERT_FALSE(file) << one.text;
    EXPECT_EQ(file.error().code, base::Code::kInvalidArgument) << one.text;
    EXPECT_NE(file.error().message.find(one.part), std::string::npos) << file.error().message;
  }
}

TEST(HookFolders, FilesCountInTheOrderOfTheirNamesAndLaterFoldersWin) {
  kernel::TempFolder temp;
  temp.Folder("a");
  temp.Folder("b");
  temp.File("a/10-first.json", File(R"({"always":true})", R"("stages":["prestart"])", "/first"));
  temp.File("a/20-second.json", File(R"({"always":true})", R"("stages":["prestart"])", "/replaced"));
  temp.File("b/20-second.json", File(R"({"always":true})", R"("stages":["prestart"])", "/second"));
  temp.File("b/05-none.json", File(R"({"always":false})"));
  temp.File("b/notes.txt", "not a hook");
  oci::Hooks hooks;
  ASSERT_TRUE(HookFolders({temp / "a", temp / "missing", temp / "b"}).AddTo({}, hooks));
  ASSERT_EQ(hooks.prestart.size(), 2U);
  EXPECT_EQ(hooks.prestart[0].path, "/first");
  EXPECT_EQ(hooks.prestart[1].path, "/second");

  temp.File("b/30-broken.json", "{");
  const base::Status broken = HookFolders({temp / "a", temp / "b"}).AddTo({}, hooks);
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("30-broken.json"), std::string::npos) << broken.error().message;
}

TEST(HookFolders, FifoIsNotWaitedFor) {
  kernel::TempFolder temp;
  ASSERT_EQ(mkfifo((temp / "10.json").c_str(), 0600), 0);
  oci::Hooks hooks;
  EXPECT_FALSE(HookFolders({temp.path()}).AddTo({}, hooks));
}

}  // namespace
}  // namespace berth::container
