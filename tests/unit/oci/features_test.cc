#include <gtest/gtest.h>

#include "oci/runtime.h"

namespace berth::oci {
namespace {

Features Parse(std::string_view version, std::string_view features) {
  auto out = ParseFeatures(version, features, "test");
  EXPECT_TRUE(out) << out.error().Text();
  return out.value_or(Features{});
}

TEST(Features, OldCrunIsJudgedByItsVersion) {
  const Features features = Parse("crun version 1.8.1\ncommit: f8a096be\nspec: 1.0.0\n", "");
  EXPECT_EQ(features.version, "crun 1.8.1");
  EXPECT_EQ(features.oci_version, "1.0.2");
  EXPECT_TRUE(features.recursive_read_only);
  EXPECT_FALSE(features.idmapped_mounts);
  EXPECT_TRUE(features.exec_cgroup);
  EXPECT_FALSE(features.exec_waits_for_output);
}

TEST(Features, CrunBefore14LacksRecursiveReadOnly) {
  EXPECT_FALSE(Parse("crun version 1.3\n", "").recursive_read_only);
  EXPECT_FALSE(Parse("crun version 1.3\n", "").exec_cgroup);
}

TEST(Features, RuntimeThatTellsOnlyItsMountOptionsHasNoIdmappedMounts) {
  const Features features =
      Parse("runc version 1.1.5+ds1\n",
            R"({"ociVersionMin":"1.0.0","ociVersionMax":"1.0.2-dev","mountOptions":["ro","rro"],"linux":{}})");
  EXPECT_EQ(features.version, "runc 1.1.5+ds1");
  EXPECT_TRUE(features.exec_waits_for_output);
  EXPECT_EQ(features.oci_version, "1.0.2");
  EXPECT_TRUE(features.recursive_read_only);
  EXPECT_FALSE(features.idmapped_mounts);
}

TEST(Features, CheckpointsNeedARuntimeThatWasBuiltForThem) {
  EXPECT_TRUE(Parse("runc version 1.1.5+ds1\n", "").checkpoints);
  EXPECT_FALSE(Parse("crun version 1.8.1\n+SYSTEMD +SECCOMP\n", "").checkpoints);
  EXPECT_TRUE(Parse("crun version 1.8.1\n+SYSTEMD +CRIU +SECCOMP\n", "").checkpoints);
}

TEST(Features, NewRuntimeIsBelieved) {
  const Features features = Parse(
      "runc version 1.2.4\n",
      R"({"ociVersionMax":"1.1.0","mountOptions":["rro"],"linux":{"mountExtensions":{"idmap":{"enabled":true}}}})");
  EXPECT_EQ(features.oci_version, "1.1.0");
  EXPECT_TRUE(features.idmapped_mounts);
}

TEST(Features, VersionThatWeDoNotKnowIsNotWritten) {
  EXPECT_EQ(Parse("runc version 1.5.0\n", R"({"ociVersionMax":"1.3.0"})").oci_version, "1.2.0");
  EXPECT_EQ(Parse("x version 9\n", R"({"ociVersionMax":"2.0.0"})").oci_version, "1.0.2");
  EXPECT_EQ(Parse("x version 9\n", R"({"ociVersionMax":"1.0.10"})").oci_version, "1.0.10");
}

TEST(Features, UnknownRuntimeWithoutTheCommandPromisesNothing) {
  const Features features = Parse("something else", "");
  EXPECT_FALSE(features.recursive_read_only);
  EXPECT_FALSE(features.idmapped_mounts);
  EXPECT_FALSE(features.exec_cgroup);
  EXPECT_EQ(features.oci_version, "1.0.2");
}

TEST(Features, GarbageIsAnError) {
  EXPECT_FALSE(ParseFeatures("runc version 1.1.5\n", "[1", "test"));
  EXPECT_FALSE(ParseFeatures("runc version 1.1.5\n", R"({"mountOptions":"rro"})", "test"));
}

TEST(State, IsParsed) {
  const auto state = ParseState(R"({"ociVersion":"1.0.0","id":"x","pid":42,"status":"running","bundle":"/b"})", "test");
  ASSERT_TRUE(state) << state.error().Text();
  EXPECT_EQ(state->phase, Phase::kRunning);
  EXPECT_EQ(state->pid, 42);
  EXPECT_EQ(state->bundle, "/b");
}

TEST(State, UnknownStatusIsAnError) {
  EXPECT_FALSE(ParseState(R"({"pid":1,"status":"dreaming"})", "test"));
}

TEST(State, ImpossiblePidIsAnError) {
  EXPECT_FALSE(ParseState(R"({"pid":-1,"status":"running"})", "test"));
  EXPECT_FALSE(ParseState(R"({"pid":4294967297,"status":"running"})", "test"));
}

}  // namespace
}  // namespace berth::oci
