#include "server/stream_callbacks.h"

#include <optional>

#include "base/guarded.h"
#include "conmon/protocol.h"
#include "container/exec_files.h"
#include "cri-proto/api.pb.h"

namespace berth::server {
namespace {

// The streaming server knows no monitors; the packets are the same.
static_assert(static_cast<int>(streaming::PacketKind::kInput) == static_cast<int>(conmon::AttachFrame::kStdin));
static_assert(static_cast<int>(streaming::PacketKind::kOutput) == static_cast<int>(conmon::AttachFrame::kStdout));
static_assert(static_cast<int>(streaming::PacketKind::kErrors) == static_cast<int>(conmon::AttachFrame::kStderr));
static_assert(static_cast<int>(streaming::PacketKind::kEnded) == static_cast<int>(conmon::AttachFrame::kEnded));
static_assert(streaming::kPacketData == conmon::kAttachDataLimit);

constexpr auto kResizeTime = std::chrono::seconds(10);

container::ExecStreams StreamsOf(const streaming::Streams& streams) {
  return {.terminal = streams.tty, .input = streams.input, .output = streams.output, .errors = streams.errors};
}

class ExecProcess : public streaming::Process {
 public:
  explicit ExecProcess(container::StartedExec started) : started_(std::move(started)) {
    input = std::move(started_.input);
    output = std::move(started_.output);
    errors = std::move(started_.errors);
  }
  // One that still runs is left to itself: with the daemon's end somebody else reaps it.
  ~ExecProcess() override {
    if (!reaped_) (void)started_.child.Release();
  }
  int exited() const override { return started_.child.pidfd(); }
  base::Result<int> ExitCode() override {
    ASSIGN_OR_RETURN(const base::ExitStatus exit, started_.child.Wait(base::Context(), started_.what));
    reaped_ = true;
    return container::ExecCode(exit, started_.runtime_log.get(), started_.what);
  }

 private:
  container::StartedExec started_;
  bool reaped_ = false;
};

// Tells a container's monitor sizes, in order, one at a time; of those that came meanwhile the last.
class Resizer : public std::enable_shared_from_this<Resizer> {
 public:
  Resizer(container::Containers& containers, base::Executor& work, std::string id)
      : containers_(containers), work_(work), id_(std::move(id)) {}

  void Set(uint16_t columns, uint16_t rows) {
    const bool start = state_.With([&](State& state) {
      state.next = {columns, rows};
      return !std::exchange(state.busy, true);
    });
    if (!start || work_.Submit([self = shared_from_this()] { self->Run(); })) return;
    state_.With([](State& state) { state.busy = false; });  // the next size tries again
  }

 private:
  struct State {
    std::optional<std::pair<uint16_t, uint16_t>> next;
    bool busy = false;
  };
  void Run() {
    while (true) {
      const auto size = state_.With([](State& state) {
        auto next = std::exchange(state.next, std::nullopt);
        state.busy = next.has_value();
        return next;
      });
      if (!size) return;
      // A container without a terminal, or one that has ended: there is nobody to be told.
      (void)containers_.ResizeTerminal(id_, size->first, size->second, base::Context().WithTimeout(kResizeTime));
    }
  }

  container::Containers& containers_;
  base::Executor& work_;
  const std::string id_;
  base::Guarded<State> state_;
};

}  // namespace

streaming::Callbacks StreamCallbacks(container::Containers& containers, sandbox::Sandboxes& sandboxes,
                                     base::Executor& work) {
  streaming::Callbacks out;
  out.exec = [&containers](const streaming::ExecOrder& order,
                           const base::Context& context) -> base::Result<std::unique_ptr<streaming::Process>> {
    ASSIGN_OR_RETURN(container::StartedExec started,
                     containers.ExecStart(order.container, order.command, StreamsOf(order.streams), context));
    return std::make_unique<ExecProcess>(std::move(started));
  };
  out.attach = [&containers, &work](const streaming::AttachOrder& order,
                                    const base::Context& context) -> base::Result<streaming::Attachment> {
    ASSIGN_OR_RETURN(const auto container, containers.Find(order.container));
    streaming::Attachment attachment;
    ASSIGN_OR_RETURN(attachment.packets, containers.Attach(container->id, StreamsOf(order.streams), context));
    attachment.takes_input = container->config->stdin();
    if (container->config->tty()) {
      attachment.resize = [resizer = std::make_shared<Resizer>(containers, work, container->id)](
                              uint16_t columns, uint16_t rows) { resizer->Set(columns, rows); };
    }
    return attachment;
  };
  out.connect = [&sandboxes](const std::string& pod, uint16_t port, const base::Context& context) {
    return sandboxes.Connect(pod, port, context);
  };
  out.pod_is_ready = [&sandboxes](const std::string& pod) {
    const auto sandbox = sandboxes.Find(pod);
    return sandbox && (*sandbox)->state == sandbox::State::kReady;
  };
  return out;
}

}  // namespace berth::server
