#include "kernel/systemd.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";
constexpr const char* kSystemBus = "unix:path=/run/dbus/system_bus_socket";
// StopUnit does not wait for these, so they need only be later than any deadline of ours.
constexpr uint64_t kNoTimeout = UINT64_MAX;

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct MessageCloser {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, MessageCloser>;

Code CodeOf(std::string_view name) {
  if (name == "org.freedesktop.systemd1.NoSuchUnit") return Code::kNotFound;
  if (name == "org.freedesktop.systemd1.UnitExists") return Code::kAlreadyExists;
  if (name == "org.freedesktop.DBus.Error.ServiceUnknown" || name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
    return Code::kFailedPrecondition;  // a bus without systemd
  }
  if (name == "org.freedesktop.DBus.Error.NoReply" || name == "org.freedesktop.DBus.Error.Disconnected")
    return Code::kUnavailable;
  return Code::kInternal;
}

// One connection to the bus. The library blocks nowhere: what it waits for is waited for here, with the context.
class Connection {
 public:
  // Hears of every job that ends from now on.
  static Result<std::unique_ptr<Connection>> Open(const std::string& address) {
    auto made = std::unique_ptr<Connection>(new Connection());
    sd_bus* bus = nullptr;
    if (const int error = sd_bus_new(&bus); error < 0) return FailErrno(-error, "D-Bus");
    made->bus_.reset(bus);
    int error = sd_bus_set_address(bus, address.empty() ? kSystemBus : address.c_str());
    if (error >= 0) error = sd_bus_set_bus_client(bus, 1);
    if (error >= 0) error = sd_bus_start(bus);
    if (error < 0) return FailErrno(-error, "connect to D-Bus");
    error = sd_bus_match_signal_async(bus, nullptr, kService, kPath, kManager, "JobRemoved", &OnJobRemoved, nullptr,
                                      made.get());
    if (error < 0) return FailErrno(-error, "D-Bus: listen for JobRemoved");
    return made;
  }

  Result<Message> NewCall(const char* method) {
    sd_bus_message* message = nullptr;
    const int error = sd_bus_message_new_method_call(bus_.get(), &message, kService, kPath, kManager, method);
    if (error < 0) return FailErrno(-error, "D-Bus: ", method);
    return Message(message);
  }

  // The reply; an error that systemd answers has its words.
  Result<Message> Call(const Message& message, const Context& context, const std::string& what) {
    reply_.reset();
    const int error = sd_bus_call_async(bus_.get(), nullptr, message.get(), &OnReply, this, kNoTimeout);
    if (error < 0) return FailErrno(-error, "D-Bus: ", what);
    RETURN_IF_ERROR(ProcessUntil([this] { return reply_ != nullptr; }, context, what));
    if (const sd_bus_error* told = sd_bus_message_get_error(reply_.get())) {
      return Fail(CodeOf(told->name), what, ": ", told->message != nullptr ? told->message : told->name);
    }
    return std::move(reply_);
  }

  // Makes a call that answers with a job and waits until that is done.
  Status RunJob(const Message& message, const Context& context, const std::string& what) {
    ASSIGN_OR_RETURN(const Message reply, Call(message, context, what));
    const char* path = nullptr;
    if (const int error = sd_bus_message_read(reply.get(), "o", &path); error < 0)
      return FailErrno(-error, "D-Bus: ", what);
    const std::string job = path;
    RETURN_IF_ERROR(ProcessUntil([&] { return jobs_.contains(job); }, context, what));
    const std::string& result = jobs_[job];
    if (result == "done" || result == "skipped") return {};
    return Fail(Code::kInternal, what, ": the job ended with \"", result, "\"");
  }

 private:
  Connection() = default;

  static int OnReply(sd_bus_message* message, void* self, sd_bus_error*) {
    static_cast<Connection*>(self)->reply_.reset(sd_bus_message_ref(message));
    return 1;
  }
  static int OnJobRemoved(sd_bus_message* message, void* self, sd_bus_error*) {
    uint32_t id = 0;
    const char* path = nullptr;
    const char* unit = nullptr;
    const char* result = nullptr;
    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0) {
      static_cast<Connection*>(self)->jobs_[path] = result;
    }
    return 0;
  }

  template <typename Done>
  Status ProcessUntil(const Done& done, const Context& context, const std::string& what) {
    while (!done()) {
      const int processed = sd_bus_process(bus_.get(), nullptr);
      if (processed < 0) return Fail(Code::kUnavailable, what, ": ", FailErrno(-processed, "D-Bus").value().message);
      if (processed > 0) continue;
      const int events = sd_bus_get_events(bus_.get());
      uint64_t wake = UINT64_MAX;  // of the handshake's own time limit, on the monotonic clock
      if (events < 0 || sd_bus_get_timeout(bus_.get(), &wake) < 0)
        return Fail(Code::kUnavailable, what, ": D-Bus: disconnected");
      const base::TimePoint until = wake >= uint64_t{INT64_MAX} / 1000
                                        ? base::TimePoint::max()
                                        : base::TimePoint(std::chrono::microseconds(wake));
      ASSIGN_OR_RETURN(const bool ready,
                       context.Wait(sd_bus_get_fd(bus_.get()), static_cast<short>(events), what, until));
      (void)ready;
    }
    return {};
  }

  std::unique_ptr<sd_bus, BusCloser> bus_;
  Message reply_;
  std::map<std::string, std::string, std::less<>> jobs_;  // those that ended -> how
};

// StartTransientUnit(name, mode, properties, no further units). "fail": nothing is replaced.
Status StartTransient(Connection& bus, const std::string& name, const std::string& description,
                      const std::string& slice, pid_t pid, const Context& context) {
  const std::string what = base::Cat("systemd: start ", name);
  ASSIGN_OR_RETURN(const Message call, bus.NewCall("StartTransientUnit"));
  sd_bus_message* message = call.get();
  int error = sd_bus_message_append(message, "ss", name.c_str(), "fail");
  if (error >= 0) error = sd_bus_message_open_container(message, 'a', "(sv)");
  if (error >= 0) error = sd_bus_message_append(message, "(sv)", "Description", "s", description.c_str());
  // Not ended at the beginning of a shutdown: a container's end is noted by its monitor, whichever comes first.
  if (error >= 0) error = sd_bus_message_append(message, "(sv)", "DefaultDependencies", "b", 0);
  if (error >= 0 && pid > 0) {
    error = sd_bus_message_append(message, "(sv)(sv)(sv)", "Slice", "s", slice.c_str(), "CollectMode", "s",
                                  "inactive-or-failed", "PIDs", "au", 1, static_cast<uint32_t>(pid));
  }
  if (error >= 0) error = sd_bus_message_close_container(message);
  if (error >= 0) error = sd_bus_message_append(message, "a(sa(sv))", 0);
  if (error < 0) return FailErrno(-error, "D-Bus: ", what);
  return bus.RunJob(call, context, what);
}

}  // namespace

Status Systemd::StartScope(const ScopeRequest& request, const Context& context) const {
  ASSIGN_OR_RETURN(const auto bus, Connection::Open(address_));
  return StartTransient(*bus, request.name, request.description, request.slice, request.pid, context);
}

Status Systemd::StartSlice(const std::string& name, const Context& context) const {
  ASSIGN_OR_RETURN(const auto bus, Connection::Open(address_));
  Status started = StartTransient(*bus, name, "Pod of Berth's", "", 0, context);
  if (!started && started.error().code == Code::kAlreadyExists) return {};
  return started;
}

Status Systemd::SetLimits(const std::string& name, const std::map<std::string, uint64_t>& limits,
                          const Context& context) const {
  const std::string what = base::Cat("systemd: limits of ", name);
  ASSIGN_OR_RETURN(const auto bus, Connection::Open(address_));
  ASSIGN_OR_RETURN(const Message call, bus->NewCall("SetUnitProperties"));
  sd_bus_message* message = call.get();
  int error = sd_bus_message_append(message, "sb", name.c_str(), /*runtime=*/1);
  if (error >= 0) error = sd_bus_message_open_container(message, 'a', "(sv)");
  for (const auto& [limit, value] : limits) {
    if (error >= 0) error = sd_bus_message_append(message, "(sv)", limit.c_str(), "t", value);
  }
  if (error >= 0) error = sd_bus_message_close_container(message);
  if (error < 0) return FailErrno(-error, "D-Bus: ", what);
  ASSIGN_OR_RETURN(const Message reply, bus->Call(call, context, what));
  return {};
}

Status Systemd::StopUnit(const std::string& name, const Context& context) const {
  const std::string what = base::Cat("systemd: stop ", name);
  ASSIGN_OR_RETURN(const auto bus, Connection::Open(address_));
  ASSIGN_OR_RETURN(const Message stop, bus->NewCall("StopUnit"));
  if (const int error = sd_bus_message_append(stop.get(), "ss", name.c_str(), "replace"); error < 0)
    return FailErrno(-error, "D-Bus: ", what);
  if (Status stopped = bus->RunJob(stop, context, what); !stopped) {
    if (stopped.error().code == Code::kNotFound) return {};
    return stopped;
  }
  // One that failed would be kept for people to look at.
  ASSIGN_OR_RETURN(const Message reset, bus->NewCall("ResetFailedUnit"));
  if (const int error = sd_bus_message_append(reset.get(), "s", name.c_str()); error < 0)
    return FailErrno(-error, "D-Bus: ", what);
  auto forgotten = bus->Call(reset, context, base::Cat("systemd: forget ", name));
  if (!forgotten && forgotten.error().code != Code::kNotFound) return tl::make_unexpected(std::move(forgotten).error());
  return {};
}

}  // namespace berth::kernel
