// Objects by id, each a record on disk; readers see immutable values.
//
//   Store<Container> store({.folder = root / "containers", .kind = "container", .encode = Encode, .decode = Decode});
//   ASSIGN_OR_RETURN(LoadReport report, store.Load());
//   for (const auto& [id, container] : store.Snapshot()) ...
//   RETURN_IF_ERROR(store.Update(id, [](const Container& old) -> base::Result<Container> {...}, Persist::kMust));
//
// Record files are `<folder>/<id>/record.json` (a SlotFile): updates work with no byte free.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "state/record_table.h"

namespace berth::state {

// All objects at one moment, ordered by id. A cheap copy; never changes; references into it live as long as it does.
template <typename T>
class View {
 public:
  struct Entry {
    const std::string& id;
    const T& value;
  };
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Entry;
    explicit Iterator(RecordTable::View::const_iterator at) : at_(at) {}
    Entry operator*() const { return {(*at_)->id, *static_cast<const T*>((*at_)->value.get())}; }
    Iterator& operator++() { return ++at_, *this; }
    bool operator==(const Iterator&) const = default;

   private:
    RecordTable::View::const_iterator at_;
  };

  explicit View(std::shared_ptr<const RecordTable::View> records) : records_(std::move(records)) {}

  Iterator begin() const { return Iterator(records_->begin()); }
  Iterator end() const { return Iterator(records_->end()); }
  size_t size() const { return records_->size(); }
  bool empty() const { return records_->empty(); }

  // Null when there is none.
  std::shared_ptr<const T> Get(std::string_view id) const {
    const auto at = std::lower_bound(records_->begin(), records_->end(), id,
                                     [](const auto& record, std::string_view key) { return record->id < key; });
    if (at == records_->end() || (*at)->id != id) return nullptr;
    return std::static_pointer_cast<const T>((*at)->value);
  }

  // The first, in order of ids, for which predicate(id, value) is true; null when there is none. Look names up with it.
  template <typename Predicate>
  std::shared_ptr<const T> FindIf(Predicate&& predicate) const {
    for (const auto& record : *records_) {
      const T& value = *static_cast<const T*>(record->value.get());
      if (predicate(record->id, value)) return std::static_pointer_cast<const T>(record->value);
    }
    return nullptr;
  }

 private:
  std::shared_ptr<const RecordTable::View> records_;
};

// Thread-safe. Changes of one object are made one after the other, those that wait for a write together share the next
// one; different objects do not wait for each other, and readers wait for nobody.
template <typename T>
class Store {
 public:
  struct Options {
    base::Path folder;
    std::string kind;  // "container": how errors call an object
    std::function<std::string(const T&)> encode;
    std::function<base::Result<T>(std::string_view)> decode;  // an error for what it does not know, never an exception
    // Told of each change once it can be seen, in order, under the store's lock: it may only note it. Null: not there
    // yet, or gone. What Load finds is no change.
    std::function<void(const std::shared_ptr<const T>& before, const std::shared_ptr<const T>& after)> changed =
        nullptr;
  };
  struct Found {
    std::string id;
    std::shared_ptr<const T> value;
  };

  explicit Store(Options options)
      : table_(
            {.folder = std::move(options.folder),
             .kind = std::move(options.kind),
             .encode = [encode = std::move(options.encode)](
                           const void* value) { return encode(*static_cast<const T*>(value)); },
             .decode = [decode = std::move(options.decode)](std::string_view text) -> base::Result<RecordTable::Value> {
               ASSIGN_OR_RETURN(T value, decode(text));
               return std::make_shared<const T>(std::move(value));
             },
             .changed = Erased(std::move(options.changed))}) {}

  // Once, at start. Makes the folder if it is missing. What cannot be read or decoded is set aside and reported; an
  // error only when the folder itself cannot be made or listed.
  base::Result<LoadReport> Load() { return table_.Load(); }

  View<T> Snapshot() const { return View<T>(table_.Snapshot()); }
  std::shared_ptr<const T> Get(std::string_view id) const { return Snapshot().Get(id); }  // null when there is none

  // By the whole id or a prefix that only one id has. kNotFound; kInvalidArgument when several ids begin so.
  base::Result<Found> Find(std::string_view id_or_prefix) const {
    ASSIGN_OR_RETURN(auto record, table_.Find(id_or_prefix));
    return Found{record->id, std::static_pointer_cast<const T>(record->value)};
  }

  // Makes the object's folder if it is missing, writes the record, then shows it. kAlreadyExists. With kDurable record,
  // folder and name are on disk afterwards. `id`: [A-Za-z0-9][A-Za-z0-9_.-]*, at most 128 bytes.
  base::Status Insert(const std::string& id, T value, base::Durability durability = base::Durability::kDurable) {
    return table_.Insert(id, std::make_shared<const T>(std::move(value)), durability);
  }

  // fn: const T& -> base::Result<T>. It sees all changes before it; its result is written, then seen by others, then
  // returned. Its error is returned and nothing changes. It runs under the store's lock, on any caller's thread and,
  // after a failed write, more than once: a pure function of microseconds that does not call the store. kNotFound.
  template <typename Fn>
  base::Result<std::shared_ptr<const T>> Update(std::string_view id, Fn&& fn, Persist persist,
                                                base::Durability durability = base::Durability::kVolatile) {
    const RecordTable::ChangeFn change = [&fn](const RecordTable::Value& old) -> base::Result<RecordTable::Value> {
      ASSIGN_OR_RETURN(T value, base::Result<T>(fn(*static_cast<const T*>(old.get()))));
      return std::make_shared<const T>(std::move(value));
    };
    ASSIGN_OR_RETURN(auto value, table_.Update(id, change, persist, durability));
    return std::static_pointer_cast<const T>(std::move(value));
  }

  // Removes the record, then hides the object; the folder goes too if nothing else is in it. Already gone is success.
  base::Status Erase(std::string_view id, base::Durability durability = base::Durability::kVolatile) {
    return table_.Erase(id, durability);
  }

  // Writes the objects whose last write failed again. Returns how many still are dirty.
  size_t RetryDirty() { return table_.RetryDirty(); }
  size_t dirty() const { return table_.dirty(); }

  base::Path FolderOf(std::string_view id) const { return table_.FolderOf(id); }

 private:
  static std::function<void(const RecordTable::Value&, const RecordTable::Value&)> Erased(
      std::function<void(const std::shared_ptr<const T>&, const std::shared_ptr<const T>&)> changed) {
    if (!changed) return nullptr;
    return [changed = std::move(changed)](const RecordTable::Value& before, const RecordTable::Value& after) {
      changed(std::static_pointer_cast<const T>(before), std::static_pointer_cast<const T>(after));
    };
  }

  RecordTable table_;
};

}  // namespace berth::state
