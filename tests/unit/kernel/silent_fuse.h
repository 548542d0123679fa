// A FUSE file system whose server takes every request and answers none but the first: what a dead server looks like.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"

namespace berth::kernel {

class SilentFuse {
 public:
  explicit SilentFuse(const base::Path& target)
      : device_(open("/dev/fuse", O_RDWR | O_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC)) {
    const std::string data = "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    EXPECT_EQ(mount("silent", target.c_str(), "fuse", MS_NOSUID | MS_NODEV, data.c_str()), 0) << strerror(errno);
    mount_ = Mount(target);
    server_ = std::thread([this] { Serve(); });
  }
  ~SilentFuse() { End(); }

  // Requests that will never be answered. Only a request that was taken makes the wait for it uninterruptible.
  int taken() const { return taken_; }

  // Closing the device ends the connection: whoever waits in the kernel gets ENOTCONN or ECONNABORTED.
  void End() {
    if (!server_.joinable()) return;
    eventfd_write(stop_.get(), 1);
    server_.join();
    device_.Reset();
    EXPECT_TRUE(mount_.Close().has_value());
  }

 private:
  void Serve() {
    std::vector<char> buffer(FUSE_MIN_READ_BUFFER * 4);
    while (true) {
      pollfd fds[2] = {{device_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (poll(fds, 2, -1) < 0 || fds[1].revents != 0) return;
      if (read(device_.get(), buffer.data(), buffer.size()) < static_cast<ssize_t>(sizeof(fuse_in_header))) continue;
      fuse_in_header request{};
      memcpy(&request, buffer.data(), sizeof request);
      if (request.opcode != FUSE_INIT) {
        ++taken_;
        continue;
      }
      struct {
        fuse_out_header head;
        fuse_init_out body;
      } reply{};
      reply.head = {.len = sizeof reply, .error = 0, .unique = request.unique};
      reply.body.major = FUSE_KERNEL_VERSION;
      reply.body.minor = FUSE_KERNEL_MINOR_VERSION;
      reply.body.max_write = 4096;
      EXPECT_EQ(write(device_.get(), &reply, sizeof reply), static_cast<ssize_t>(sizeof reply));
    }
  }

  base::UniqueFd device_;
  base::UniqueFd stop_;
  Mount mount_;
  std::atomic<int> taken_ = 0;
  std::thread server_;
};

}  // namespace berth::kernel
