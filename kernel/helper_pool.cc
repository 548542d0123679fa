#include "kernel/helper_pool.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace berth::kernel::internal {
namespace {

using base::Code;
using base::Context;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;

// How long a killed helper may take to be gone. One that waits uninterruptibly will not be.
constexpr std::chrono::milliseconds kDeath{200};
constexpr size_t kMaxAnswer = PATH_MAX + 128;

}  // namespace

void HelperPool::Leave(Book& book, const std::string& place) {
  const auto at = book.busy.find(place);
  if (--at->second == 0) book.busy.erase(at);
  --book.total;
}

// Nothing here waits: WNOHANG on processes that are our children.
void HelperPool::Reap(Book& book) {
  std::erase_if(book.lost, [&](const Lost& one) {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(one.pid), &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) return false;
    Leave(book, one.place);
    return true;
  });
}

Status HelperPool::Enter(const std::string& place) {
  return book_.With([&](Book& book) -> Status {
    Reap(book);
    if (book.total >= options_.cap) {
      return Fail(Code::kUnavailable, book.total, " helpers are at work or stuck in the kernel (", book.lost.size(),
                  " stuck)");
    }
    const auto at = book.busy.find(place);
    if (at != book.busy.end() && at->second >= options_.cap_per_place) {
      return Fail(Code::kUnavailable, at->second, " helpers are at work or stuck on ", place);
    }
    ++book.busy[place];
    ++book.total;
    return {};
  });
}

size_t HelperPool::Stuck() {
  return book_.With([](Book& book) {
    Reap(book);
    return book.lost.size();
  });
}

uint64_t HelperPool::Abandoned() {
  return book_.With([](Book& book) { return book.abandoned; });
}

bool HelperPool::Discard(base::Child child, const std::string& place) {
  child.KillGroup();
  if (child.Wait(Context().WithTimeout(kDeath), "berth-helper")) return true;
  // ~Child would wait for it, perhaps for ever.
  const pid_t pid = child.pid();
  UniqueFd pidfd = child.Release();
  book_.With([&](Book& book) {
    book.lost.push_back({.pid = pid, .pidfd = std::move(pidfd), .place = place});
    ++book.abandoned;
  });
  return false;
}

// What the helper writes, up to its end.
Result<std::string> HelperPool::Listen(base::Child& child, int output, const Context& context) const {
  std::string answer;
  std::array<char, 4096> buffer;
  while (true) {
    RETURN_IF_ERROR(context.Wait(output, POLLIN, "berth-helper"));
    const ssize_t got = read(output, buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) return FailErrno(errno, "read from berth-helper");
    if (got == 0) break;
    if (got > 0) answer.append(buffer.data(), static_cast<size_t>(got));
    if (answer.size() > kMaxAnswer) return Fail(Code::kInternal, "berth-helper: answer too long");
  }
  ASSIGN_OR_RETURN(const base::ExitStatus exit, child.Wait(context, "berth-helper"));
  if (exit.code != 0) return Fail(Code::kInternal, "berth-helper: ", exit.Text());
  return answer;
}

Result<std::string> HelperPool::Run(std::vector<std::string> arguments, const std::string& place,
                                    const Context& context, std::chrono::nanoseconds limit) {
  RETURN_IF_ERROR(context.Check("berth-helper"));
  RETURN_IF_ERROR(Enter(place));
  bool stuck = false;
  const auto run = [&]() -> Result<std::string> {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
    const UniqueFd output(ends[0]);
    UniqueFd input(ends[1]);
    arguments.insert(arguments.begin(), "berth-helper");
    base::SpawnOptions spawn{.program = options_.helper, .arguments = std::move(arguments)};
    spawn.fds.emplace_back(input.get(), STDOUT_FILENO);
    ASSIGN_OR_RETURN(base::Child child, base::Spawn(spawn));
    input.Reset();
    auto answer = Listen(child, output.get(), context.WithTimeout(limit));
    if (!answer && child.pid() > 0) stuck = !Discard(std::move(child), place);
    return answer;
  };
  auto answer = run();
  // A stuck one keeps its place until it ends.
  if (!stuck) book_.With([&](Book& book) { Leave(book, place); });
  return answer;
}

}  // namespace berth::kernel::internal
