// The part of Store<T> that does not depend on T. Use state/store.h.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "state/slot_file.h"

namespace berth::state {

// What happens to a change whose write to disk fails.
enum class Persist {
  kMust,        // it fails; the old value stays
  kBestEffort,  // it is published all the same; the object is dirty and written again by RetryDirty or the next change
  kVolatile,    // it is not written for its own sake (fields that matter to this process alone)
};

// A record that Load could not use; it now lies beside its place, its object's folder is untouched.
struct BadRecord {
  std::string id;
  base::Path path;  // "<folder>/<id>/record.json.bad", or the old place when it could not be renamed
  base::Error error;
};

struct LoadReport {
  size_t loaded = 0;
  std::vector<BadRecord> bad;
  std::vector<std::string> recovered;       // ids whose newest slot was damaged: the value may be the one before
  std::vector<std::string> without_record;  // ids of folders that hold no record: creations cut short, or bad before
};

class RecordTable {
 public:
  using Value = std::shared_ptr<const void>;
  struct Record {
    std::string id;
    Value value;
  };
  using View = std::vector<std::shared_ptr<const Record>>;  // ordered by id
  using ChangeFn = std::function<base::Result<Value>(const Value&)>;
  struct Options {
    base::Path folder;
    std::string kind;  // "container": how errors call an object
    std::function<std::string(const void*)> encode;
    std::function<base::Result<Value>(std::string_view)> decode;
    std::function<void(const Value& before, const Value& after)> changed = nullptr;  // Store<T>::Options
  };

  explicit RecordTable(Options options) : options_(std::move(options)) {}

  base::Result<LoadReport> Load();
  std::shared_ptr<const View> Snapshot() const;
  base::Result<std::shared_ptr<const Record>> Find(std::string_view prefix) const;
  base::Status Insert(const std::string& id, Value value, base::Durability durability);
  base::Result<Value> Update(std::string_view id, const ChangeFn& change, Persist persist, base::Durability durability);
  base::Status Erase(std::string_view id, base::Durability durability);
  size_t RetryDirty();
  size_t dirty() const;
  base::Path FolderOf(std::string_view id) const { return options_.folder / id; }

 private:
  struct Change {
    const ChangeFn* fn;
    Persist persist;
    base::Durability durability;
    base::Result<Value> result = Value();
    bool done = false;
  };
  struct Object {
    std::shared_ptr<const Record> published;  // null until Insert's write is done and after Erase
    std::optional<SlotFile> file;             // touched by the one who set `busy` alone
    bool busy = false;                        // someone writes, without the lock
    bool dirty = false;
    bool gone = false;
    std::deque<Change*> queue;  // of callers that wait in Update
    std::condition_variable changed;
  };
  using ObjectPtr = std::shared_ptr<Object>;
  struct BatchPlan {
    Value value;
    bool write = false;
    base::Durability durability = base::Durability::kVolatile;
  };

  base::Path RecordPath(std::string_view id) const { return FolderOf(id) / "record.json"; }
  base::Status LoadOne(const std::string& id, LoadReport& report);
  base::Error NotFound(std::string_view id) const;
  ObjectPtr FindObject(std::string_view id) const;  // under the lock
  void RunBatch(std::unique_lock<std::mutex>& lock, const std::string& id, Object& object);
  static BatchPlan Apply(const std::deque<Change*>& batch, Value value, bool without_must);
  void Publish(Object& object, const std::string& id, Value value);
  void Tell(const Value& before, const Value& after) const {
    if (options_.changed) options_.changed(before, after);
  }

  const Options options_;
  mutable std::mutex mutex_;  // guards all of it; never held over a disk write
  std::map<std::string, ObjectPtr, std::less<>> objects_;
  mutable std::shared_ptr<const View> view_;  // null when it has to be made again
};

}  // namespace berth::state
