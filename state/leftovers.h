// Ledgers that could not be undone whole: kept, counted and tried again with growing pauses.
//
// Nothing here needs to survive a restart: the ledger files do, and the sweep at start (OrphanedLedgers) finds them.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"
#include "state/ledger.h"

namespace berth::state {

// Thread-safe. Has no thread of its own: whoever owns it calls RunDue() when NextDue() comes.
class LeftoverQueue {
 public:
  struct Options {
    Undoers undoers;
    std::chrono::milliseconds first_pause{1000};  // doubled after each failure
    std::chrono::milliseconds longest_pause{300'000};
    std::function<base::TimePoint()> now = [] { return base::Monotonic::now(); };
    std::function<void()> changed{};  // NextDue() may have become earlier: re-arm the timer; called without a lock
  };
  struct Leftover {
    std::string id;
    size_t attempts = 0;  // failed ones
    base::TimePoint due;
    std::string error;  // of the last attempt
  };

  explicit LeftoverQueue(Options options) : options_(std::move(options)) {}

  // Takes the ledger over; `error` tells why it is left. The first attempt comes after the first pause. `completed` is
  // called, without a lock, once everything is undone. A waiting ledger of the same id is replaced.
  void Add(std::string id, std::shared_ptr<Ledger> ledger, std::string error,
           std::function<void()> completed = nullptr);

  // Attempts all that are due, one after the other, each with a time of its own. Returns how many were completed.
  // Several threads may be at it: each takes what no other has.
  size_t RunDue(std::chrono::nanoseconds each);

  base::TimePoint NextDue() const;  // TimePoint::max() when there is nothing to do
  size_t size() const;              // waiting or being attempted
  std::vector<Leftover> List() const;

 private:
  struct Item {
    std::shared_ptr<Ledger> ledger;
    std::function<void()> completed;
    size_t attempts = 0;
    base::TimePoint due;
    std::string error;
    bool running = false;
  };
  bool RunOne(const std::string& id, const base::Context& context);
  std::chrono::milliseconds Pause(size_t attempts) const;

  const Options options_;
  mutable base::Guarded<std::map<std::string, Item>> items_;
};

// Ids of objects that have a file named `ledger_name` under `run_folder`/<id> or `state_folder`/<id> but that `known`
// denies: creations that a crash cut short. Missing folders are empty ones. Sorted.
base::Result<std::vector<std::string>> OrphanedLedgers(const base::Path& run_folder, const base::Path& state_folder,
                                                       const std::function<bool(const std::string&)>& known,
                                                       const std::string& ledger_name = "ledger");

}  // namespace berth::state
