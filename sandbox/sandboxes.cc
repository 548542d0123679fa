#include "sandbox/sandboxes.h"

#include <sys/wait.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include "cri-proto/api.pb.h"
#include "sandbox/check.h"

namespace berth::sandbox {

using base::Code;
using base::Fail;

Sandboxes::Sandboxes(Parts parts)
    : parts_(std::move(parts)),
      store_({.folder = parts_.state_folder,
              .kind = "sandbox",
              .encode = Encode,
              .decode = Decode,
              .changed = parts_.changed}) {}

Sandboxes::~Sandboxes() = default;

void Sandboxes::End() {
  operations_.CancelAll();
  life_.Cancel();
}

base::Result<Sandboxes::LedgerPtr> Sandboxes::LoadLedger(const std::string& id, bool same_boot) const {
  ASSIGN_OR_RETURN(
      LedgerPtr ledger,
      state::Ledger::Load({.run = RunFolder(id) / "ledger", .state = StateFolder(id) / "ledger"}, same_boot));
  return ledger;
}

Sandboxes::LedgerPtr Sandboxes::FindLedger(const std::string& id) {
  return ledgers_.With([&](auto& all) {
    const auto found = all.find(id);
    return found == all.end() ? nullptr : found->second;
  });
}

std::vector<std::shared_ptr<const Sandbox>> Sandboxes::List() const {
  std::vector<std::shared_ptr<const Sandbox>> out;
  const auto view = store_.Snapshot();
  out.reserve(view.size());
  for (const auto& [id, sandbox] : view) {
    if (!sandbox.creating) out.push_back(view.Get(id));
  }
  return out;
}

base::Result<std::shared_ptr<const Sandbox>> Sandboxes::Find(const std::string& id_or_prefix) const {
  if (id_or_prefix.empty()) return Fail(Code::kInvalidArgument, "sandbox id is missing");
  ASSIGN_OR_RETURN(auto found, store_.Find(id_or_prefix));
  if (found.value->creating) return Fail(Code::kNotFound, "sandbox ", id_or_prefix, " not found");
  return std::move(found.value);
}

base::Result<container::Pod> Sandboxes::PodOf(const Sandbox& sandbox) const {
  if (sandbox.state != State::kReady) return Fail(Code::kFailedPrecondition, "sandbox ", sandbox.id, " is not ready");
  const base::Path files = Files(sandbox.id);
  std::optional<container::UserNamespace> user;
  if (!sandbox.user_namespace.empty()) {
    const base::Path images = RunFolder(sandbox.id) / "images";
    user = {.path = sandbox.user_namespace,
            .map = UserMapOf(*sandbox.config),
            .images = base::Exists(images) ? images : base::Path()};
  }
  const bool host_ipc = sandbox.config->linux().security_context().namespace_options().ipc() == cri::NODE;
  return container::Pod{
      .id = sandbox.id,
      .config = sandbox.config,
      .runtime = sandbox.runtime,
      .cgroup_parent = sandbox.cgroup_parent,
      .hostname = sandbox.hostname,
      .net_namespace = sandbox.net_namespace,
      .ipc_namespace = sandbox.ipc_namespace,
      .uts_namespace = sandbox.uts_namespace,
      .pid_namespace = sandbox.pid_namespace,
      .selinux_label = sandbox.selinux_label,
      .user_namespace = std::move(user),
      .shm = host_ipc ? base::Path("/dev/shm") : RunFolder(sandbox.id) / "shm",
      .resolv_conf = files / "resolv.conf",
      .hosts = files / "hosts",
      .hostname_file = files / "hostname",
      .ready =
          [this, id = sandbox.id] {
            const auto now = store_.Get(id);
            return now && now->state == State::kReady;
          },
  };
}

network::Observer Sandboxes::CniSteps(state::Stage& stage) {
  return [&stage](std::string_view plugin, std::string_view command) {
    stage.Enter(base::Cat("cni ", command, " ", plugin));
  };
}

void Sandboxes::SetNotReady(const std::string& id, bool with_address) {
  const auto stop = [&](const Sandbox& old) -> base::Result<Sandbox> {
    Sandbox changed = old;
    changed.state = State::kNotReady;
    if (!with_address) changed.ips.clear();
    return changed;
  };
  (void)store_.Update(id, stop, state::Persist::kBestEffort);  // removed meanwhile is fine
  if (parts_.ended) parts_.ended(id);
}

void Sandboxes::WatchPause(const std::string& id, base::UniqueFd pidfd) {
  boost::asio::post(*parts_.loop, [this, id, fd = std::make_shared<base::UniqueFd>(std::move(pidfd))] {
    using boost::asio::posix::stream_descriptor;
    auto pause = std::make_shared<stream_descriptor>(*parts_.loop, fd->Release());
    pause->async_wait(stream_descriptor::wait_read, [this, id, pause](const boost::system::error_code& error) {
      if (error) return;
      siginfo_t info{};
      waitid(P_PIDFD, static_cast<id_t>(pause->native_handle()), &info, WEXITED | WNOHANG);
      // Stopped by us or died: without it the pod's processes are gone too.
      if (base::Status submitted = parts_.disk->Submit([this, id] { SetNotReady(id); }); !submitted) SetNotReady(id);
    });
  });
}

}  // namespace berth::sandbox
