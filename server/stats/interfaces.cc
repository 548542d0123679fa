#include "server/stats/interfaces.h"

#include <fcntl.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <thread>

#include "base/strings.h"
#include "kernel/namespace.h"

namespace berth::stats {
namespace {

using base::Result;

constexpr size_t kMaxText = 4 << 20;
constexpr size_t kMaxInterfaces = 128;

// Receive: bytes packets errs drop fifo frame compressed multicast; then transmit: bytes packets errs drop ...
constexpr size_t kReceiveColumns = 8;
constexpr size_t kNeeded = kReceiveColumns + 4;

// A pod that may make interfaces chooses their names, of any bytes. What is no UTF-8 would make the client refuse the
// whole reply, other pods' figures too.
std::string PlainName(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c <= ' ' || c > '~') c = '?';
  }
  return out;
}

bool ParseColumns(std::string_view text, std::array<uint64_t, kNeeded>& out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (uint64_t& number : out) {
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return false;
    at = next;
  }
  return true;
}

Result<std::vector<InterfaceStats>> EnterAndRead(const base::Path& path) {
  ASSIGN_OR_RETURN(const bool pinned, kernel::IsNamespaceFile(path));
  if (!pinned) return base::Fail(base::Code::kNotFound, "network namespace ", path.native(), ": not there");
  ASSIGN_OR_RETURN(const base::UniqueFd space, base::Open(path, O_RDONLY));
  if (setns(space.get(), CLONE_NEWNET) != 0) return base::FailErrno(errno, "enter ", path.native());
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile("/proc/thread-self/net/dev", kMaxText));
  return ParseNetDev(text);
}

}  // namespace

std::vector<InterfaceStats> ParseNetDev(std::string_view text) {
  std::vector<InterfaceStats> out;
  for (const std::string_view line : base::Split(text, '\n')) {
    if (out.size() == kMaxInterfaces) break;
    // Headings have no colon; a name may have one (an alias), a number never.
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = base::Trim(line.substr(0, colon));
    std::array<uint64_t, kNeeded> n{};
    if (name == "lo" || !ParseColumns(line.substr(colon + 1), n)) continue;
    out.push_back({.name = PlainName(name),
                   .received = {.bytes = n[0], .packets = n[1], .errors = n[2], .dropped = n[3]},
                   .sent = {.bytes = n[8], .packets = n[9], .errors = n[10], .dropped = n[11]}});
  }
  return out;
}

std::vector<Result<std::vector<InterfaceStats>>> ReadInterfaces(const std::vector<base::Path>& namespaces) {
  std::vector<Result<std::vector<InterfaceStats>>> out;
  if (namespaces.empty()) return out;
  out.reserve(namespaces.size());
  try {
    std::thread([&] {
      for (const base::Path& path : namespaces) out.push_back(EnterAndRead(path));
    }).join();
  } catch (const std::system_error& error) {
    out.assign(namespaces.size(), base::FailErrno(error.code().value(), "start a thread"));
  }
  return out;
}

}  // namespace berth::stats
