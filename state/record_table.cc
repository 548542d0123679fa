#include "state/record_table.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace berth::state {

using base::Code;
using base::Durability;
using base::Fail;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxId = 128;
constexpr int kMaxSetAside = 100;

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool ValidId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxId && IsAlnum(id.front()) &&
         std::all_of(id.begin(), id.end(), [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

// record.json.bad, .bad.1, .bad.2, ...: an earlier one is evidence too. The last name is used again and again.
base::Path SetAside(const base::Path& path) {
  base::Path aside = path.native() + ".bad";
  for (int n = 1; base::Exists(aside) && n < kMaxSetAside; ++n) aside = base::Cat(path.native(), ".bad.", n);
  return rename(path.c_str(), aside.c_str()) == 0 ? aside : path;
}

}  // namespace

base::Error RecordTable::NotFound(std::string_view id) const {
  return {.code = Code::kNotFound, .message = base::Cat(options_.kind, " \"", id, "\": not found")};
}

RecordTable::ObjectPtr RecordTable::FindObject(std::string_view id) const {
  const auto at = objects_.find(id);
  return at == objects_.end() || !at->second->published ? nullptr : at->second;
}

void RecordTable::Publish(Object& object, const std::string& id, Value value) {
  object.published = std::make_shared<const Record>(Record{id, std::move(value)});
  view_ = nullptr;
}

Result<LoadReport> RecordTable::Load() {
  RETURN_IF_ERROR(base::MakeDirs(options_.folder, 0700));
  ASSIGN_OR_RETURN(std::vector<std::string> ids, base::ListFolder(options_.folder));
  std::sort(ids.begin(), ids.end());
  LoadReport report;
  for (const std::string& id : ids) {
    if (!ValidId(id)) continue;
    if (Status status = LoadOne(id, report); !status) {
      report.bad.push_back({id, SetAside(RecordPath(id)), std::move(status).error()});
    }
  }
  return report;
}

Status RecordTable::LoadOne(const std::string& id, LoadReport& report) {
  auto file = SlotFile::Open(RecordPath(id));
  if (!file && (file.error().err == ENOENT || file.error().err == ENOTDIR)) {
    if (file.error().err == ENOENT) report.without_record.push_back(id);
    return {};
  }
  if (!file) return tl::make_unexpected(std::move(file).error());
  ASSIGN_OR_RETURN(const std::string text, file->Read());
  ASSIGN_OR_RETURN(Value value, options_.decode(text), options_.kind, " ", id);
  if (file->recovered()) report.recovered.push_back(id);
  auto object = std::make_shared<Object>();
  object->file = *std::move(file);
  std::lock_guard lock(mutex_);
  Publish(*object, id, std::move(value));
  objects_[id] = std::move(object);
  ++report.loaded;
  return {};
}

std::shared_ptr<const RecordTable::View> RecordTable::Snapshot() const {
  std::lock_guard lock(mutex_);
  if (!view_) {
    auto view = std::make_shared<View>();
    view->reserve(objects_.size());
    for (const auto& [id, object] : objects_) {
      if (object->published) view->push_back(object->published);
    }
    view_ = std::move(view);
  }
  return view_;
}

Result<std::shared_ptr<const RecordTable::Record>> RecordTable::Find(std::string_view prefix) const {
  const auto view = Snapshot();
  const auto at = std::lower_bound(view->begin(), view->end(), prefix,
                                   [](const auto& record, std::string_view key) { return record->id < key; });
  // An empty prefix names nothing, even where there is only one object.
  if (prefix.empty() || at == view->end() || !(*at)->id.starts_with(prefix))
    return tl::make_unexpected(NotFound(prefix));
  const auto next = at + 1;
  if ((*at)->id != prefix && next != view->end() && (*next)->id.starts_with(prefix)) {
    return Fail(Code::kInvalidArgument, options_.kind, " \"", prefix, "\": several ids begin so: ", (*at)->id, ", ",
                (*next)->id);
  }
  return *at;
}

Status RecordTable::Insert(const std::string& id, Value value, Durability durability) {
  if (!ValidId(id)) return Fail(Code::kInvalidArgument, options_.kind, " \"", id, "\": not a valid id");
  auto object = std::make_shared<Object>();
  object->busy = true;
  {
    std::lock_guard lock(mutex_);
    if (!objects_.try_emplace(id, object).second) {
      return Fail(Code::kAlreadyExists, options_.kind, " \"", id, "\": exists already");
    }
  }
  const auto write = [&]() -> Result<SlotFile> {
    RETURN_IF_ERROR(base::MakeDirs(FolderOf(id), 0700));
    return SlotFile::Create(RecordPath(id), options_.encode(value.get()), durability);
  };
  auto file = write();
  if (!file) {
    unlink(RecordPath(id).c_str());
    rmdir(FolderOf(id).c_str());
  }
  std::lock_guard lock(mutex_);
  object->busy = false;
  if (!file) {
    objects_.erase(id);
    return tl::make_unexpected(base::Wrap(std::move(file).error(), options_.kind, " ", id));
  }
  object->file = *std::move(file);
  Publish(*object, id, value);
  Tell(nullptr, value);
  return {};
}

Result<RecordTable::Value> RecordTable::Update(std::string_view id, const ChangeFn& change, Persist persist,
                                               Durability durability) {
  Change mine{.fn = &change, .persist = persist, .durability = durability};
  std::unique_lock lock(mutex_);
  const ObjectPtr object = FindObject(id);
  if (!object) return tl::make_unexpected(NotFound(id));
  object->queue.push_back(&mine);
  while (!mine.done) {
    if (object->busy) {
      object->changed.wait(lock);
    } else {
      RunBatch(lock, std::string(id), *object);
    }
  }
  return std::move(mine.result);
}

RecordTable::BatchPlan RecordTable::Apply(const std::deque<Change*>& batch, Value value, bool without_must) {
  BatchPlan plan;
  for (Change* change : batch) {
    if (change->done || (without_must && change->persist == Persist::kMust)) continue;
    change->result = (*change->fn)(value);
    if (!change->result) {
      change->done = true;
      continue;
    }
    value = *change->result;
    if (change->persist == Persist::kVolatile) continue;
    plan.write = true;
    if (change->durability == Durability::kDurable) plan.durability = Durability::kDurable;
  }
  plan.value = std::move(value);
  return plan;
}

// Makes all changes that wait for `object` now, with at most one write. The lock is let go of meanwhile.
void RecordTable::RunBatch(std::unique_lock<std::mutex>& lock, const std::string& id, Object& object) {
  const std::deque<Change*> batch = std::exchange(object.queue, {});
  if (object.gone) {
    for (Change* change : batch) {
      change->result = tl::make_unexpected(NotFound(id));
      change->done = true;
    }
    object.changed.notify_all();
    return;
  }
  const Value before = object.published->value;
  BatchPlan plan = Apply(batch, before, /*without_must=*/false);
  if (plan.write) {
    object.busy = true;
    lock.unlock();
    Status status = object.file->Write(options_.encode(plan.value.get()), plan.durability);
    lock.lock();
    object.busy = false;
    if (status) {
      object.dirty = false;
    } else {
      for (Change* change : batch) {
        if (change->done || change->persist != Persist::kMust) continue;
        change->result = tl::make_unexpected(base::Wrap(status.error(), options_.kind, " ", id));
        change->done = true;
      }
      plan = Apply(batch, before, /*without_must=*/true);
      object.dirty = object.dirty || plan.write;
    }
  }
  if (plan.value != before) {
    Publish(object, id, plan.value);
    Tell(before, plan.value);
  }
  for (Change* change : batch) change->done = true;
  object.changed.notify_all();
}

Status RecordTable::Erase(std::string_view id, Durability durability) {
  std::unique_lock lock(mutex_);
  const ObjectPtr object = FindObject(id);
  if (!object) return {};
  while (object->busy) object->changed.wait(lock);
  if (object->gone) return {};
  object->busy = true;
  lock.unlock();
  Status status = object->file->Remove(durability);
  if (status) rmdir(FolderOf(id).c_str());  // a folder with anything else in it stays (ENOTEMPTY)
  lock.lock();
  object->busy = false;
  if (status) {
    const Value before = object->published->value;
    object->gone = true;
    object->published = nullptr;
    view_ = nullptr;
    objects_.erase(objects_.find(id));
    Tell(before, nullptr);
  }
  object->changed.notify_all();
  if (!status) return tl::make_unexpected(base::Wrap(std::move(status).error(), options_.kind, " ", id));
  return {};
}

size_t RecordTable::RetryDirty() {
  std::vector<std::string> ids;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, object] : objects_) {
      if (object->dirty) ids.push_back(id);
    }
  }
  const ChangeFn keep = [](const Value& value) -> Result<Value> { return value; };
  for (const std::string& id : ids) {
    // The write alone matters: whether it succeeded shows in dirty().
    (void)Update(id, keep, Persist::kBestEffort, Durability::kDurable);
  }
  return dirty();
}

size_t RecordTable::dirty() const {
  std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(objects_.begin(), objects_.end(), [](const auto& item) { return item.second->dirty; }));
}

}  // namespace berth::state
