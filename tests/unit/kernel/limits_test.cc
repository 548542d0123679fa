#include "kernel/limits.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>

#include "kernel/boot.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

TEST(Limits, OwnLimitsAreThoseOfTheProcess) {
  const auto limits = OwnResourceLimits();
  EXPECT_EQ(limits.size(), 16U);
  const auto files =
      std::find_if(limits.begin(), limits.end(), [](const auto& one) { return one.name == "RLIMIT_NOFILE"; });
  ASSERT_NE(files, limits.end());
  rlimit own{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
  EXPECT_EQ(files->soft, own.rlim_cur);
  EXPECT_EQ(files->hard, own.rlim_max);
}

TEST(Limits, OomScoreIsClampedToWhatWeMayGive) {
  const auto own = OwnOomScoreAdj();
  ASSERT_OK(own);
  const auto sets = OwnCapabilities();
  ASSERT_OK(sets);
  const bool free = (sets->effective >> CAP_SYS_RESOURCE & 1) != 0;
  EXPECT_EQ(*ClampOomScoreAdj(1000), 1000);
  EXPECT_EQ(*ClampOomScoreAdj(5000), 1000);
  EXPECT_EQ(*ClampOomScoreAdj(*own), *own);
  EXPECT_EQ(*ClampOomScoreAdj(-998), free ? -998 : std::max(-998, *own));
}

TEST(Limits, CapabilityNamesAndNumbersAgree) {
  EXPECT_EQ(CapabilityNames().size(), size_t{CAP_LAST_CAP} + 1);
  EXPECT_EQ(CapabilityNumber("NET_ADMIN"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityNumber("cap_net_admin"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityNumber("Cap_Bpf"), CAP_BPF);
  for (const char* name : {"ALL", "", "CAP_", "CAP_CAP_CHOWN", "CHOWNX"})
    EXPECT_EQ(CapabilityNumber(name), std::nullopt);
  for (size_t i = 0; i < CapabilityNames().size(); ++i)
    EXPECT_EQ(CapabilityNumber(CapabilityNames()[i]), static_cast<int>(i));
}

TEST(Limits, OwnCapabilitiesLieWithinWhatTheKernelKnows) {
  const auto sets = OwnCapabilities();
  ASSERT_OK(sets);
  const auto last = LastCapability();
  ASSERT_OK(last);
  ASSERT_GE(*last, 30);
  EXPECT_EQ(sets->bounding >> (*last + 1), 0U);
  EXPECT_EQ(sets->effective & ~sets->permitted, 0U);
}

TEST(Boot, IdStaysTheSameWithinABoot) {
  const auto first = BootId();
  ASSERT_OK(first);
  EXPECT_EQ(first->size(), 36U);
  EXPECT_EQ(*first, *BootId());
}

}  // namespace
}  // namespace berth::kernel
