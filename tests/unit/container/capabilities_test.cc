#include "container/capabilities.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"
#include "kernel/limits.h"

namespace berth::container {
namespace {

using Names = std::vector<std::string>;
const Names kDefaults = {"CHOWN", "CAP_KILL", "net_raw"};

uint64_t Bits(const Names& names) {
  uint64_t out = 0;
  for (const std::string& name : names) out |= uint64_t{1} << kernel::CapabilityNumber(name).value();
  return out;
}
const uint64_t kAvailable = Bits({"CHOWN", "KILL", "NET_RAW", "NET_ADMIN", "SYS_ADMIN"});
const Names kAll = {"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"};

cri::LinuxContainerSecurityContext Request(const Names& add, const Names& drop, bool privileged = false) {
  cri::LinuxContainerSecurityContext out;
  for (const std::string& name : add) out.mutable_capabilities()->add_add_capabilities(name);
  for (const std::string& name : drop) out.mutable_capabilities()->add_drop_capabilities(name);
  out.set_privileged(privileged);
  return out;
}

TEST(Capabilities, ListsAreAppliedInOrder) {
  struct Case {
    const char* what;
    Names add, drop, granted;
  };
  for (const Case& one : {
           Case{"neither", {}, {}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}},
           Case{"add", {"NET_ADMIN"}, {}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW"}},
           Case{"any spelling", {"cap_net_admin"}, {"Cap_Net_Raw"}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"}},
           Case{"drop", {}, {"KILL"}, {"CAP_CHOWN", "CAP_NET_RAW"}},
           Case{"drop what is not there", {}, {"SYS_ADMIN", "NO_SUCH"}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}},
           Case{"drop all", {}, {"ALL"}, {}},
           Case{"drop all, add one", {"KILL"}, {"aLl"}, {"CAP_KILL"}},
           Case{"add all", {"All"}, {}, kAll},
           Case{"add all, drop one", {"ALL"}, {"SYS_ADMIN"}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW"}},
           Case{"both all", {"ALL", "KILL", "CHOWN"}, {"ALL", "CHOWN"}, {"CAP_KILL"}},
           Case{"one both added and dropped", {"NET_ADMIN"}, {"NET_ADMIN"}, {"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}},
       }) {
    const auto mapped = MapCapabilities(Request(one.add, one.drop), kDefaults, kAvailable);
    ASSERT_TRUE(mapped) << one.what;
    EXPECT_EQ(mapped->bounding, one.granted) << one.what;
    EXPECT_EQ(mapped->effective, one.granted) << one.what;
    EXPECT_EQ(mapped->permitted, one.granted) << one.what;
    EXPECT_EQ(mapped->inheritable, Names()) << one.what;
    EXPECT_EQ(mapped->ambient, Names()) << one.what;
  }
}

TEST(Capabilities, AmbientOnesAreInAllFiveSets) {
  cri::LinuxContainerSecurityContext request = Request({}, {"ALL"});
  request.mutable_capabilities()->add_add_ambient_capabilities("NET_ADMIN");
  const auto mapped = MapCapabilities(request, kDefaults, kAvailable);
  ASSERT_TRUE(mapped);
  for (const Names* set :
       {&mapped->bounding, &mapped->effective, &mapped->permitted, &mapped->inheritable, &mapped->ambient}) {
    EXPECT_EQ(*set, Names{"CAP_NET_ADMIN"});
  }
}

TEST(Capabilities, DroppedOneIsNotAmbientEither) {
  cri::LinuxContainerSecurityContext request = Request({}, {"NET_ADMIN"});
  request.mutable_capabilities()->add_add_ambient_capabilities("NET_ADMIN");
  const auto mapped = MapCapabilities(request, kDefaults, kAvailable);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->ambient, Names());
}

TEST(Capabilities, PrivilegedIsEverythingThatTheDaemonHas) {
  const auto mapped = MapCapabilities(Request({"SYS_RESOURCE"}, {"ALL"}, true), kDefaults, kAvailable);
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(mapped->bounding, kAll);
  EXPECT_EQ(mapped->ambient, Names());
}

TEST(Capabilities, UnknownOneToAddIsRefused) {
  for (const char* name : {"NO_SUCH", "", "CAP_", "CAP_ALL"}) {
    const auto mapped = MapCapabilities(Request({name}, {}), kDefaults, kAvailable);
    ASSERT_FALSE(mapped) << name;
    EXPECT_EQ(mapped.error().code, base::Code::kInvalidArgument);
  }
}

TEST(Capabilities, OneThatTheDaemonHasNotGotIsRefusedByName) {
  const auto mapped = MapCapabilities(Request({"SYS_RESOURCE"}, {}), kDefaults, kAvailable);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().message, "capability CAP_SYS_RESOURCE cannot be granted: the daemon itself has not got it");
}

TEST(Capabilities, DefaultThatTheDaemonHasNotGotIsLeftOut) {
  const Names defaults = {"CHOWN", "SYS_TIME"};
  const auto mapped = MapCapabilities({}, defaults, kAvailable);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->bounding, Names{"CAP_CHOWN"});
}

}  // namespace
}  // namespace berth::container
