// The part of Operations<R> that does not depend on R. Use state/operations.h.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "state/timeline.h"

namespace berth::state {

class OperationTable {
 public:
  // One operation. What is not const is guarded by the table's mutex.
  struct Flight {
    std::string key;
    std::string fingerprint;
    std::string what;
    base::Context context;  // of the body; its deadline is the operation's
    base::UniqueFd ended;   // eventfd, readable from the end on
    Timeline timeline;
    enum class State { kRunning, kDone, kGivenUp } state = State::kRunning;
    virtual ~Flight() = default;
  };
  using FlightPtr = std::shared_ptr<Flight>;

  struct Summary {
    std::string key;
    std::string what;
    TimelineSummary timeline;
  };

  // The flight of that key, or `fresh` after it was entered as such (then `started`). kAlreadyExists: another
  // fingerprint.
  base::Result<FlightPtr> JoinOrStart(FlightPtr fresh, bool& started);

  // Waits until the flight is done (success), is given up at its deadline, or the caller's context ends (errors).
  base::Status Wait(const FlightPtr& flight, const base::Context& caller);

  // The body has returned. True: keep(); has been called under the lock and the waiters woken. False: the flight was
  // given up before, the result is the caller's to clean up.
  bool Finish(Flight& flight, const std::function<void()>& keep);

  std::vector<Summary> List() const;
  void CancelAll();

 private:
  void GiveUp(Flight& flight);  // under the lock
  base::Error DeadlineError(const Flight& flight) const;

  mutable std::mutex mutex_;
  std::map<std::string, FlightPtr, std::less<>> flights_;
};

}  // namespace berth::state
