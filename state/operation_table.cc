#include "state/operation_table.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

namespace berth::state {

using base::Code;
using base::Fail;
using base::Monotonic;
using base::Result;
using base::Status;
using State = OperationTable::Flight::State;

namespace {

std::string Seconds(std::chrono::nanoseconds time) {
  return base::Cat(std::chrono::duration_cast<std::chrono::seconds>(time).count(), " s");
}

}  // namespace

Result<OperationTable::FlightPtr> OperationTable::JoinOrStart(FlightPtr fresh, bool& started) {
  fresh->ended.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fresh->ended) return base::FailErrno(errno, fresh->what, ": eventfd");
  base::Context late;
  Result<FlightPtr> joined = fresh;
  {
    std::lock_guard lock(mutex_);
    // With all its callers gone nobody has watched its deadline.
    const auto at = flights_.find(fresh->key);
    if (at != flights_.end() && Monotonic::now() >= at->second->context.deadline()) {
      late = at->second->context;
      GiveUp(*FlightPtr(at->second));
    }
    FlightPtr& place = flights_[fresh->key];
    started = place == nullptr;
    if (started) {
      place = fresh;
    } else if (place->fingerprint == fresh->fingerprint) {
      joined = place;
    } else {
      joined = Fail(Code::kAlreadyExists, fresh->what, ": another request of that name is in flight, in stage ",
                    place->timeline.stage(), " for ", Seconds(place->timeline.elapsed()));
    }
  }
  late.Cancel();
  return joined;
}

Status OperationTable::Wait(const FlightPtr& flight, const base::Context& caller) {
  const auto woken = caller.Wait(flight->ended.get(), POLLIN, flight->what, flight->context.deadline());
  bool gave_up = false;
  Status status;
  {
    std::lock_guard lock(mutex_);
    if (flight->state == State::kDone) return {};
    if (flight->state == State::kRunning && Monotonic::now() >= flight->context.deadline()) {
      GiveUp(*flight);
      gave_up = true;
    }
    if (flight->state == State::kGivenUp) status = tl::make_unexpected(DeadlineError(*flight));
  }
  if (gave_up) flight->context.Cancel();
  if (!status) return status;
  // The descriptor is readable only once the flight is done; so what ended the wait is the caller's own.
  base::Error error = woken.error();
  error.message += base::Cat(" in stage ", flight->timeline.stage(), " after ", Seconds(flight->timeline.elapsed()),
                             "; the operation goes on");
  return tl::make_unexpected(std::move(error));
}

bool OperationTable::Finish(Flight& flight, const std::function<void()>& keep) {
  std::lock_guard lock(mutex_);
  if (flight.state == State::kGivenUp) return false;
  keep();
  flight.state = State::kDone;
  const auto at = flights_.find(flight.key);
  if (at != flights_.end() && at->second.get() == &flight) flights_.erase(at);
  eventfd_write(flight.ended.get(), 1);
  return true;
}

void OperationTable::GiveUp(Flight& flight) {
  flight.state = State::kGivenUp;
  const auto at = flights_.find(flight.key);
  if (at != flights_.end() && at->second.get() == &flight) flights_.erase(at);
  eventfd_write(flight.ended.get(), 1);
}

base::Error OperationTable::DeadlineError(const Flight& flight) const {
  return {.code = Code::kDeadlineExceeded,
          .message = base::Cat(flight.what, ": deadline exceeded in stage ", flight.timeline.stage(), " after ",
                               Seconds(flight.timeline.elapsed()))};
}

std::vector<OperationTable::Summary> OperationTable::List() const {
  std::lock_guard lock(mutex_);
  std::vector<Summary> out;
  out.reserve(flights_.size());
  for (const auto& [key, flight] : flights_) out.push_back({key, flight->what, flight->timeline.Summary()});
  return out;
}

void OperationTable::CancelAll() {
  std::vector<base::Context> contexts;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, flight] : flights_) contexts.push_back(flight->context);
  }
  for (const base::Context& context : contexts) context.Cancel();
}

}  // namespace berth::state
