// Children for tests: shells, and what /proc says of them.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "base/child.h"
#include "base/strings.h"

namespace berth::base {

// For what must happen and does at once; a test that reaches it has failed.
constexpr std::chrono::seconds kLong{60};

inline Context Bounded() {
  return Context().WithTimeout(kLong);
}

inline SpawnOptions Shell(std::string script) {
  return {.program = "/bin/sh", .arguments = {"sh", "-c", std::move(script)}, .environment = {"PATH=/usr/bin:/bin"}};
}

// A line that a child wrote, without its end.
inline std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (true) {
    const auto ready = Bounded().Wait(fd, POLLIN, "line");
    if (!ready || read(fd, &c, 1) != 1 || c == '\n') return line;
    line.push_back(c);
  }
}

// A child whose script has written "ready" and waits for its standard input to end.
struct Ready {
  Child child;
  UniqueFd input;
  UniqueFd output;
};
inline Ready StartReady(SpawnOptions options) {
  auto in = MakePipe();
  auto out = MakePipe();
  if (!in || !out) return {};
  options.fds.emplace_back(in->read.get(), 0);
  options.fds.emplace_back(out->write.get(), 1);
  auto child = Spawn(options);
  EXPECT_TRUE(child.has_value()) << child.error().Text();
  if (!child) return {};
  out->write.Reset();
  Ready ready{*std::move(child), std::move(in->write), std::move(out->read)};
  EXPECT_EQ(ReadLine(ready.output.get()), "ready");
  return ready;
}
inline constexpr const char* kReady = "echo ready; read line";

// A field of /proc/PID/status.
inline std::string StatusField(pid_t pid, std::string_view name) {
  const auto text = ReadFile(Cat("/proc/", pid, "/status"));
  if (!text) return text.error().message;
  for (const std::string_view line : Split(*text, '\n')) {
    if (line.starts_with(name) && line.substr(name.size()).starts_with(":"))
      return std::string(Trim(line.substr(name.size() + 1)));
  }
  return "no such field";
}

// True once the process has ended (a zombie that nobody reaped counts).
inline bool Ends(int pidfd) {
  return Bounded().Wait(pidfd, POLLIN, "end").value_or(false);
}

// The v2 cgroup this process is in, to be born into; -1 where there is none.
inline UniqueFd OwnCgroup() {
  std::string group;
  const std::string groups = ReadFile("/proc/self/cgroup").value_or("");
  const std::string mounts = ReadFile("/proc/self/mountinfo").value_or("");
  for (const std::string_view line : Split(groups, '\n')) {
    if (line.starts_with("0::")) group = line.substr(3);
  }
  for (const std::string_view line : Split(mounts, '\n')) {
    if (group.empty() || line.find(" - cgroup2 ") == std::string_view::npos) continue;
    if (auto fd = Open(std::string(Split(line, ' ')[4]) + group, O_PATH | O_DIRECTORY)) return *std::move(fd);
  }
  return UniqueFd();
}

}  // namespace berth::base
