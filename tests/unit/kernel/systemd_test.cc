// What systemd answers is played on a real node (tests/vm); here: a bus that is missing, silent or rude.
#include "kernel/systemd.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/time.h"
#include "base/unique_fd.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;

class SystemdTest : public testing::Test {
 protected:
  // A socket that takes connections and says nothing.
  base::UniqueFd Listen() const {
    base::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener.get(), 8), 0);
    return listener;
  }
  base::Path path() const { return temp_ / "bus"; }
  Systemd systemd() const { return Systemd("unix:path=" + path().native()); }

  TempFolder temp_;
};

TEST_F(SystemdTest, WithoutABusEveryCallFailsAtOnce) {
  EXPECT_FALSE(
      systemd().StartScope({.name = "a.scope", .slice = "b.slice", .description = "d", .pid = getpid()}, Context()));
  EXPECT_FALSE(systemd().StartSlice("b.slice", Context()));
  EXPECT_FALSE(systemd().StopUnit("a.scope", Context()));
  EXPECT_FALSE(systemd().SetLimits("a.scope", {{"MemoryMax", 1}}, Context()));
}

TEST_F(SystemdTest, SilentBusIsWaitedForUntilTheDeadlineAndNoLonger) {
  const base::UniqueFd listener = Listen();
  const auto from = base::Monotonic::now();
  const Context context = Context().WithTimeout(std::chrono::milliseconds(50));
  EXPECT_CODE(systemd().StopUnit("a.scope", context), Code::kDeadlineExceeded);
  EXPECT_CODE(systemd().SetLimits("a.scope", {{"MemoryMax", 1}}, context), Code::kDeadlineExceeded);
  EXPECT_LT(base::Monotonic::now() - from, std::chrono::seconds(10));
}

TEST_F(SystemdTest, CallerThatLeavesIsNotKept) {
  const base::UniqueFd listener = Listen();
  const Context context = Context::Make();
  std::jthread leave([&] { context.Cancel(); });
  EXPECT_CODE(systemd().StartSlice("b.slice", context), Code::kCancelled);
  leave.join();
}

TEST_F(SystemdTest, BusThatHangsUpIsUnavailable) {
  const base::UniqueFd listener = Listen();
  std::jthread rude([&] { const base::UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)); });
  EXPECT_CODE(systemd().StopUnit("a.scope", Context().WithTimeout(std::chrono::seconds(60))), Code::kUnavailable);
  rude.join();
}

}  // namespace
}  // namespace berth::kernel
