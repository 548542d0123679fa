#include "container/containers.h"

#include <sys/eventfd.h>

#include "conmon/client.h"
#include "container/live.h"
#include "cri-proto/api.pb.h"

namespace berth::container {

using base::Code;
using base::Fail;

Containers::Containers(Parts parts)
    : parts_(std::move(parts)),
      store_({.folder = parts_.state_folder,
              .kind = "container",
              .encode = Encode,
              .decode = Decode,
              .changed = parts_.changed}),
      // Not on the executor of the operations, which wait for exits.
      watch_(*parts_.loop, *parts_.disk, [this](const std::string& id, std::optional<conmon::ExitRecord> record) {
        OnExit(id, std::move(record));
      }) {}

Containers::~Containers() = default;

base::Result<std::shared_ptr<oci::Runtime>> Containers::RuntimeOf(const std::string& handler) const {
  const auto found = parts_.runtimes->find(handler);
  if (found == parts_.runtimes->end())
    return Fail(Code::kFailedPrecondition, "runtime handler \"", handler, "\" is not configured any more");
  return found->second;
}

Containers::LivePtr Containers::FindLive(const std::string& id) {
  return live_.With([&](auto& all) {
    const auto found = all.find(id);
    return found == all.end() ? nullptr : found->second;
  });
}

std::vector<std::shared_ptr<const Container>> Containers::List() const {
  std::vector<std::shared_ptr<const Container>> out;
  const auto view = store_.Snapshot();
  out.reserve(view.size());
  for (const auto& [id, container] : view) {
    if (!container.creating) out.push_back(view.Get(id));
  }
  return out;
}

base::Result<std::shared_ptr<const Container>> Containers::Find(const std::string& id_or_prefix) const {
  if (id_or_prefix.empty()) return Fail(Code::kInvalidArgument, "container id is missing");
  ASSIGN_OR_RETURN(auto found, store_.Find(id_or_prefix));
  if (found.value->creating) return Fail(Code::kNotFound, "container ", id_or_prefix, " not found");
  return std::move(found.value);
}

base::Result<std::string> Containers::RuntimeSpec(const std::string& id) const {
  auto text = base::ReadFile(Bundle(id) / "config.json");
  if (!text && text.error().err == ENOENT) return Fail(Code::kNotFound, "container ", id, " has no bundle");
  return text;
}

base::Status Containers::ReopenLog(const std::string& id, const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kRunning) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                ", not running");
  }
  ASSIGN_OR_RETURN(auto connection, conmon::MonitorConnection::Connect(MonitorSocket(container->id), context));
  return connection.ReopenLog(context);
}

}  // namespace berth::container
