#include "container/user.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "fixtures.h"

namespace berth::container {
namespace {

class UserTest : public testing::Test {
 protected:
  UserTest() {
    root_.Folder("etc");
    root_.File("etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "# not an entry\n"
               "broken:x:one:1\n"
               "app:x:1000:1001:App:/home/app:/bin/sh\n"
               "second:x:1000:7::/:\n"
               "huge:x:4294967296:0::/:\n"
               "short:x:5\n");
    root_.File("etc/group",
               "root:x:0:\n"
               "staff:x:50:root,app\n"
               "audio:x:29:app\r\n"
               "other:x:51:application\n"
               "odd:x:-1:app\n"
               "much:x:4294967296:app\n"
               "nameless\n");
  }
  base::Result<User> Resolve(const std::string& image_user = {}) const {
    const auto fd = base::Open(root_.path(), O_PATH | O_DIRECTORY);
    EXPECT_TRUE(fd);
    return ResolveUser(fd->get(), security_, image_user);
  }
  void Expect(const std::string& image_user, int64_t uid, int64_t gid, const std::vector<int64_t>& groups) const {
    const auto user = Resolve(image_user);
    ASSERT_TRUE(user) << image_user << ": " << ErrorOf(user);
    EXPECT_EQ(user->uid, uid) << image_user;
    EXPECT_EQ(user->gid, gid) << image_user;
    EXPECT_EQ(user->groups, groups) << image_user;
  }
  void ExpectRefused(const std::string& image_user, const std::string& reason) const {
    const auto user = Resolve(image_user);
    ASSERT_FALSE(user) << image_user;
    EXPECT_EQ(user.error().code, base::Code::kInvalidArgument);
    EXPECT_NE(user.error().message.find(reason), std::string::npos) << user.error().message;
  }

  kernel::TempFolder root_;
  cri::LinuxContainerSecurityContext security_;
};

TEST_F(UserTest, ImageUserInEveryForm) {
  Expect("", 0, 0, {0, 50});
  Expect("root", 0, 0, {0, 50});
  Expect("app", 1000, 1001, {29, 50, 1001});
  Expect("1000", 1000, 1001, {29, 50, 1001});
  Expect("1234", 1234, 0, {0});
  Expect("1234:50", 1234, 50, {50});
  Expect("app:staff", 1000, 50, {29, 50});
  Expect("1234:staff", 1234, 50, {50});
  Expect("app:", 1000, 1001, {29, 50, 1001});
  Expect(":50", 0, 50, {50});
  Expect("2147483647:2147483647", 2147483647, 2147483647, {2147483647});
}

TEST_F(UserTest, HomeIsThePasswdFilesOrTheRoot) {
  root_.File("etc/passwd",
             "app:x:1:1::/home/app:/bin/sh\n"
             "bare:x:2:2\n"
             "relative:x:3:3::home:/bin/sh\n"
             "odd:x:4:4::/caf\xe9:/bin/sh\n");
  const auto home = [&](const std::string& user) { return Resolve(user)->home; };
  EXPECT_EQ(home("app"), "/home/app");
  for (const char* user : {"bare", "relative", "odd", "77"}) EXPECT_EQ(home(user), "/") << user;
}

TEST_F(UserTest, ImageUserThatCannotBeResolvedIsRefused) {
  ExpectRefused("nobody", "\"nobody\" is not in the image's /etc/passwd");
  ExpectRefused("broken", "not in the image's /etc/passwd");
  ExpectRefused("short", "not in the image's /etc/passwd");
  ExpectRefused("app:nogroup", "\"nogroup\" is not in the image's /etc/group");
  ExpectRefused("2147483648", "out of range");
  ExpectRefused("-1", "out of range");
  ExpectRefused("huge", "out of range");
  ExpectRefused("0:-1", "out of range");
  ExpectRefused("app:much", "out of range");
}

TEST_F(UserTest, RequestWinsOverImage) {
  security_.mutable_run_as_user()->set_value(1000);
  Expect("root:root", 1000, 1001, {29, 50, 1001});
  security_.mutable_run_as_group()->set_value(60);
  Expect("root:root", 1000, 60, {29, 50, 60});
  security_.clear_run_as_user();
  security_.set_run_as_username("app");
  Expect("root", 1000, 60, {29, 50, 60});
}

TEST_F(UserTest, GroupAloneIsRefused) {
  security_.mutable_run_as_group()->set_value(60);
  ExpectRefused("app", "run_as_group needs");
}

TEST_F(UserTest, IdsOutOfRangeAreRefused) {
  security_.mutable_run_as_user()->set_value(int64_t{1} << 31);
  ExpectRefused("", "out of range");
  security_.mutable_run_as_user()->set_value(0);
  security_.mutable_run_as_group()->set_value(-1);
  ExpectRefused("", "out of range");
  security_.clear_run_as_group();
  security_.add_supplemental_groups(int64_t{1} << 32);
  ExpectRefused("", "out of range");
}

TEST_F(UserTest, SupplementalGroupsAreMergedSortedAndUnique) {
  security_.mutable_run_as_user()->set_value(1000);
  for (const int group : {2000, 29, 5}) security_.add_supplemental_groups(group);
  Expect("", 1000, 1001, {5, 29, 50, 1001, 2000});
}

TEST_F(UserTest, StrictPolicyReadsNoGroupFile) {
  security_.mutable_run_as_user()->set_value(1000);
  security_.add_supplemental_groups(2000);
  security_.set_supplemental_groups_policy(cri::SupplementalGroupsPolicy::Strict);
  Expect("", 1000, 1001, {1001, 2000});
}

TEST_F(UserTest, UnknownPolicyIsRefused) {
  security_.set_supplemental_groups_policy(static_cast<cri::SupplementalGroupsPolicy>(2));
  ExpectRefused("", "not implemented");
}

TEST_F(UserTest, ImageWithoutFilesKnowsNumbersAlone) {
  ASSERT_TRUE(base::RemoveTree(root_ / "etc"));
  Expect("1000:5", 1000, 5, {5});
  ExpectRefused("app", "not in the image's");
}

TEST_F(UserTest, LinksAreFollowedInsideTheImageAlone) {
  ASSERT_TRUE(base::RemoveFile(root_ / "etc/passwd"));
  std::filesystem::create_symlink("/../../../../../../../../etc/passwd.real", root_ / "etc/passwd");
  root_.File("etc/passwd.real", "inside:x:77:78::/:\n");
  Expect("inside", 77, 78, {78});
}

TEST_F(UserTest, FileThatIsNoFileIsRefusedWithoutOpeningIt) {
  ASSERT_TRUE(base::RemoveFile(root_ / "etc/passwd"));
  ASSERT_EQ(mkfifo((root_ / "etc/passwd").c_str(), 0600), 0);
  ExpectRefused("", "is not a regular file");
}

TEST_F(UserTest, HugeFileIsRefused) {
  ASSERT_EQ(truncate((root_ / "etc/passwd").c_str(), 1 << 30), 0);
  const auto user = Resolve("app");
  ASSERT_FALSE(user);
  EXPECT_EQ(user.error().code, base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace berth::container
