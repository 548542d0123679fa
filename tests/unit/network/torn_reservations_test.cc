#include "network/torn_reservations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"

namespace berth::network {
namespace {

class TornReservations : public testing::Test {
 protected:
  TornReservations() {
    char name[] = "/tmp/berth-network-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~TornReservations() override { EXPECT_TRUE(base::RemoveTree(folder_)); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::MakeDirs((folder_ / name).parent_path()));
    ASSERT_TRUE(base::WriteFile(folder_ / name, text));
  }
  ConfigList List(const std::string& ipam) const {
    auto list = ParseConfigList(base::Cat(R"({"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge","ipam":)",
                                          ipam, R"(},{"type":"portmap"}]})"),
                                "list");
    EXPECT_TRUE(list) << list.error().message;
    return *list;
  }
  std::string HostLocal() const { return base::Cat(R"({"type":"host-local","dataDir":")", folder_.native(), R"("})"); }

  base::Path folder_;
};

TEST_F(TornReservations, EmptyAddressesAreRemovedAndNothingElse) {
  Write("net/10.88.0.7", "");
  Write("net/fd00::5", "");
  Write("net/10.88.0.8", "container\r\neth0");
  Write("net/lock", "");
  Write("net/last_reserved_ip.0", "");
  Write("other/10.88.0.7", "");
  const auto count = ForgetTornReservations(List(HostLocal()));
  ASSERT_TRUE(count) << count.error().message;
  EXPECT_EQ(*count, 2u);
  EXPECT_THAT(*base::ListFolder(folder_ / "net"),
              testing::UnorderedElementsAre("10.88.0.8", "lock", "last_reserved_ip.0"));
  EXPECT_TRUE(base::Exists(folder_ / "other/10.88.0.7"));
}

TEST_F(TornReservations, FolderThatIsNotThereIsNoError) {
  EXPECT_EQ(*ForgetTornReservations(List(HostLocal())), 0u);
}

TEST_F(TornReservations, OtherPluginsFilesAreTheirs) {
  Write("net/10.88.0.7", "");
  const auto count =
      ForgetTornReservations(List(base::Cat(R"({"type":"dhcp","dataDir":")", folder_.native(), R"("})")));
  ASSERT_TRUE(count);
  EXPECT_TRUE(base::Exists(folder_ / "net/10.88.0.7"));
}

}  // namespace
}  // namespace berth::network
