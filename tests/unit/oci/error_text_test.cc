#include <gtest/gtest.h>

#include "oci/runtime.h"

namespace berth::oci {
namespace {

TEST(ErrorText, TakesTheMessageOfAJsonLine) {
  EXPECT_EQ(
      ErrorText(
          R"({"msg":"executable file `/bin/nope` not found in $PATH","level":"error","time":"2026-11-24T07:51:21Z"})"
          "\n"),
      "executable file `/bin/nope` not found in $PATH");
}

TEST(ErrorText, TakesTheMessageOfALogrusLine) {
  EXPECT_EQ(ErrorText(R"(time="2026-11-24T07:51:24Z" level=error msg="exec: \"/bin/nope\": no such file")"),
            "exec: \"/bin/nope\": no such file");
  EXPECT_EQ(ErrorText("time=now level=error msg=failed extra=1"), "failed");
}

TEST(ErrorText, PrefersTheLastErrorToLaterWarnings) {
  EXPECT_EQ(ErrorText("{\"level\":\"error\",\"msg\":\"first\"}\n"
                      "{\"level\":\"error\",\"msg\":\"second\"}\n"
                      "{\"level\":\"warning\",\"msg\":\"cgroup busy\"}\n"),
            "second");
}

TEST(ErrorText, TakesTheLastLineWhereNoneIsMarkedAsError) {
  EXPECT_EQ(ErrorText("Segmentation fault\n\n"), "Segmentation fault");
  EXPECT_EQ(ErrorText("{\"level\":\"info\",\"msg\":\"one\"}\ntwo"), "two");
}

TEST(ErrorText, OfNothingIsEmpty) {
  EXPECT_EQ(ErrorText(""), "");
  EXPECT_EQ(ErrorText("\n \n"), "");
}

TEST(ErrorText, BrokenLinesAreTakenAsTheyAre) {
  EXPECT_EQ(ErrorText("{\"msg\":"), "{\"msg\":");
  EXPECT_EQ(ErrorText("{\"msg\":7,\"level\":\"error\"}"), "{\"msg\":7,\"level\":\"error\"}");
  EXPECT_EQ(ErrorText("level=error msg=\"torn \\"), "torn \\");
}

TEST(ErrorText, IsCutToALengthThatFitsIntoAnEvent) {
  EXPECT_EQ(ErrorText(std::string(100'000, 'x')).size(), 4096u);
}

}  // namespace
}  // namespace berth::oci
