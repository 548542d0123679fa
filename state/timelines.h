// What objects keep of the operations on them: who did what, with which steps, for how long.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/file.h"
#include "base/result.h"
#include "state/ledger.h"
#include "state/timeline.h"

namespace berth::state {

struct OperationRecord {
  std::string operation;  // "RunPodSandbox"
  std::string object;     // id; empty for a creation that failed
  std::string request;    // id of the call that began it
  std::string code;       // base::CodeName of its error; empty: success
  TimelineSummary timeline;
};

// {"operation", "request", "code", "startedAt", "durationNanos", "steps"}: the object is known where it is shown.
nlohmann::json ToJson(const OperationRecord& record);
// The same of several, for Status's verbose info.
std::string ToJsonText(const std::vector<OperationRecord>& records);

// A file for each object in a folder of the run root, a line of JSON for each operation: no memory of the daemon's,
// still there when it is started again, gone with the boot. Nothing depends on it: what cannot be written is not kept.
// Thread-safe.
class Timelines {
 public:
  using Observer = std::function<void(const OperationRecord&)>;  // in the thread of the operation
  explicit Timelines(base::Path folder, Observer observer = nullptr)
      : folder_(std::move(folder)), observer_(std::move(observer)) {}

  // Makes the folder and forgets objects that `known` denies. At the start.
  base::Status Open(const std::function<bool(const std::string& id)>& known) const;

  // Of an object that was not begun, or is forgotten, nothing is kept; the observer is told all the same.
  void Begin(const std::string& id) const;
  void Add(const OperationRecord& record) const;
  void Forget(const std::string& id) const;

  // Operations<std::string>::Call::finished for an operation on `object`, or, when that is empty, for one that begins
  // the object whose id is its result. Valid while this is.
  std::function<void(const TimelineSummary&, const base::Result<std::string>&)> Keeper(std::string operation,
                                                                                       std::string object,
                                                                                       std::string request) const;

  // Oldest first, the last kMostBytes of them; empty for an object that is not known.
  std::vector<OperationRecord> Read(const std::string& id) const;

  static constexpr size_t kMostBytes = 128 << 10;

 private:
  const base::Path folder_;
  const Observer observer_;
};

// The same undoers, each telling the timeline what it is about to undo. Valid while the timeline is.
Undoers Timed(const Undoers& undoers, Timeline& timeline);

}  // namespace berth::state
