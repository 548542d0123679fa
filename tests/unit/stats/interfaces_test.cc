#include "server/stats/interfaces.h"

#include "kernel/namespace.h"
#include "recorded_tree.h"

namespace berth::stats {
namespace {

TEST(Interfaces, NetDevIsParsed) {
  const char* text =
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
      "compressed\n"
      "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0 "
      "         0\n"
      "  eth0: 6291456    4242    1    2    3     4          5         6  1048576    2121    7    8    9    10      11 "
      "        12\n"
      "eth0:1:12345678901234567890 1 0 0 0 0 0 0 2 3 4 5 0 0 0 0\n"
      " bad0: 1 2 x\n";
  const auto all = ParseNetDev(text);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], (InterfaceStats{"eth0", {6291456, 4242, 1, 2}, {1048576, 2121, 7, 8}}));
  EXPECT_EQ(all[1], (InterfaceStats{"eth0:1", {12345678901234567890u, 1, 0, 0}, {2, 3, 4, 5}}));
}

TEST(Interfaces, NamesOfAHostilePodHarmNobodyElse) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "x\xff" + std::to_string(i) + ": 1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n";
  const auto all = ParseNetDev(text);
  ASSERT_EQ(all.size(), 128u);
  EXPECT_EQ(all[0].name, "x?0");
}

TEST(Interfaces, AreReadInsideTheNamespace) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  TempFolder temp;
  const base::Path pinned = temp.path() / "net";
  ASSERT_TRUE(kernel::CreateNamespaces({.net = pinned}).has_value());
  const auto mine = base::ReadFile("/proc/thread-self/net/dev");
  const auto all = ReadInterfaces({pinned, temp.path() / "none"});
  ASSERT_TRUE(kernel::UnpinNamespace(pinned).has_value());
  ASSERT_EQ(all.size(), 2u);
  ASSERT_TRUE(all[0].has_value()) << all[0].error().Text();
  EXPECT_TRUE(all[0]->empty());  // it has `lo` alone
  ASSERT_FALSE(all[1].has_value());
  EXPECT_EQ(all[1].error().code, base::Code::kNotFound);
  // The thread that entered was another one.
  EXPECT_EQ(ParseNetDev(*base::ReadFile("/proc/thread-self/net/dev")).size(), ParseNetDev(*mine).size());
}

}  // namespace
}  // namespace berth::stats
