// What a streaming exec carries in a second, beside a plain pipe through the OCI runtime's own exec of the same command
// in the same container: both ways, in turn.
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/strings.h"
#include "tests/bench/floor.h"
#include "tests/bench/relay.h"
#include "tests/bench/stream_client.h"
#include "tests/bench/timings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::bench {
namespace {

namespace v1 = e2e::v1;
using e2e::InstalledRuntimes;
using e2e::RuntimeName;

constexpr size_t kTotal = size_t{1} << 30;
constexpr size_t kPiece = 64 << 10;
constexpr int kRounds = 7;

std::vector<std::string> Command(bool out) {
  std::vector<std::string> command = {"dd", "bs=64k", out ? "if=/dev/zero" : "of=/dev/null"};
  if (out) command.push_back(base::Cat("count=", kTotal / kPiece));
  return command;
}

class Streams : public e2e::OnRuntime {
 protected:
  // As whoever runs `crun exec` by hand has it; or with a relay between, which a client over TCP cannot do without.
  base::Status Floor(const std::string& container, bool out, bool relay) {
    ASSIGN_OR_RETURN(base::Pipe pipe, base::MakePipe());
    base::SpawnOptions spawn{.program = e2e::OciRuntime(Handler()), .environment = {"PATH=/usr/sbin:/usr/bin:/bin"}};
    const base::Path root = daemon().options().run_root / "oci" / Handler();
    spawn.arguments = {Handler(), "--root", root.native(), "exec", container};
    for (const std::string& word : Command(out)) spawn.arguments.push_back(word);
    spawn.fds = {{out ? pipe.write.get() : pipe.read.get(), out ? 1 : 0}};
    ASSIGN_OR_RETURN(base::Child child, base::Spawn(spawn));
    (out ? pipe.write : pipe.read).Reset();
    base::UniqueFd ours = std::move(out ? pipe.read : pipe.write);
    RETURN_IF_ERROR(relay ? ThroughRelay(std::move(ours), out, kTotal) : Straight(std::move(ours), out));
    ASSIGN_OR_RETURN(const base::ExitStatus exit, child.Wait(base::Context(), "command"));
    if (exit.code != 0) return base::Fail(base::Code::kInternal, "the floor ended with ", exit.Text());
    return {};
  }

  static base::Status Straight(base::UniqueFd pipe, bool out) {
    const std::unique_ptr<char[]> piece(new char[kPiece]());
    size_t moved = 0;
    while (out || moved < kTotal) {
      const ssize_t got = out ? read(pipe.get(), piece.get(), kPiece) : write(pipe.get(), piece.get(), kPiece);
      if (got < 0) return base::FailErrno(errno, "pipe");
      if (got == 0) break;
      moved += static_cast<size_t>(got);
    }
    if (moved != kTotal) return base::Fail(base::Code::kInternal, "the floor moved ", moved, " bytes");
    return {};
  }

  base::Status Ours(const std::string& container, bool out) {
    v1::ExecRequest request;
    request.set_container_id(container);
    request.set_stdin(!out);
    request.set_stdout(out);
    request.set_stderr(!out);
    for (const std::string& word : Command(out)) request.add_cmd(word);
    const auto reply = cri().Call(&v1::RuntimeService::Stub::Exec, request);
    if (!reply.ok()) return base::Fail(base::Code::kInternal, reply.message());
    ASSIGN_OR_RETURN(const auto client, StreamClient::Open(reply->url()));
    if (out) {
      RETURN_IF_ERROR(client->OpenStreams({"error", "stdout"}));
      ASSIGN_OR_RETURN(const size_t received, client->Drain());
      if (received != kTotal) return base::Fail(base::Code::kInternal, "only ", received, " bytes came");
      return {};
    }
    RETURN_IF_ERROR(client->OpenStreams({"error", "stdin", "stderr"}));
    base::Status sent;
    std::thread sender([&] { sent = client->SendAll(3, kTotal); });
    const auto drained = client->Drain();
    sender.join();
    if (!drained) return tl::make_unexpected(drained.error());
    return sent;
  }
};
ON_EVERY_RUNTIME(Streams);

TEST_P(Streams, BesideAPlainPipe) {
  const e2e::Made made = RunContainer({"sleep", "100000"});
  for (const bool out : {true, false}) {
    Timings times;
    for (int i = 0; i < kRounds; ++i) {
      times.Time("floor", [&] { ASSERT_STATUS_OK(Floor(made.container, out, false)); });
      times.Time("relay", [&] { ASSERT_STATUS_OK(Floor(made.container, out, true)); });
      times.Time("ours", [&] { ASSERT_STATUS_OK(Ours(made.container, out)); });
    }
    std::printf("a gibibyte through %s, %s\n", out ? "stdout" : "stdin", GetParam().c_str());
    times.Print("streaming exec", "ours");
    times.Print("floor: a plain pipe through the runtime's exec", "floor");
    times.Print("floor: the same with a bare relay to TCP between", "relay");
    PrintFigure("of the pipe's rate (goal 0.70)", times.Median("floor") / times.Median("ours"), "");
    PrintFigure("of the relay's rate", times.Median("relay") / times.Median("ours"), "");
  }
}

}  // namespace
}  // namespace berth::bench
