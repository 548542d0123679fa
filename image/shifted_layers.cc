#include "image/shifted_layers.h"

#include <stdio.h>

#include <cerrno>
#include <optional>

#include "base/strings.h"
#include "image/file_copy.h"
#include "image/layer_unpacker.h"
#include "image/shift.h"
#include "image/store_records.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxRecordBytes = 1 << 20;

std::string NameOf(const Digest& chain_id, std::string_view owners) {
  return base::Cat(chain_id.hex(), ".", owners);
}

}  // namespace

std::string OwnersText(const kernel::UserMap& map) {
  return base::Cat(map.uids.host, "-", map.uids.size, ".", map.gids.host, "-", map.gids.size);
}

Status ShiftedLayers::Open(const Report& report) {
  for (const Path& path : {folder_, retired_}) RETURN_IF_ERROR(base::MakeDirs(path, 0755));
  ASSIGN_OR_RETURN(const auto names, base::ListFolder(folder_));
  Data data;
  ASSIGN_OR_RETURN(auto left, base::ListFolder(retired_));
  data.retired.TakeUp(std::move(left));
  for (const std::string& name : names) {
    auto kept = Load(name);
    if (kept) {
      data.copies[name] = *std::move(kept);
      continue;
    }
    report(name, base::Cat("copy of a layer removed: ", kept.error().Text()));
    const Status moved = MoveToRetired(folder_ / name, retired_, data.retired.Add(name, {}));
    if (!moved) report(name, moved.error().Text());
  }
  data_.With([&](Data& locked) { locked = std::move(data); });
  return {};
}

Result<ShiftedLayers::Kept> ShiftedLayers::Load(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(folder_ / name / "layer.json", kMaxRecordBytes));
  ASSIGN_OR_RETURN(LayerRecord record, DecodeLayer(text));
  if (!name.starts_with(base::Cat(record.chain_id.hex(), ".")))
    return Fail(Code::kInternal, "the record is another layer's");
  if (!base::Exists(Diff(name))) return Fail(Code::kInternal, "it has no files");
  return Kept{.chain_id = std::move(record.chain_id), .usage = {.bytes = record.bytes, .inodes = record.inodes}};
}

bool ShiftedLayers::Use(Data& data, const std::string& name, const std::string& user) {
  const auto copy = data.copies.find(name);
  if (copy == data.copies.end()) return false;
  ++copy->second.users;
  data.users[user].push_back(name);
  return true;
}

Result<Path> ShiftedLayers::Acquire(const Digest& chain_id, const Path& layer, const kernel::UserMap& map,
                                    const std::string& user, const base::Context& context) {
  const std::string name = NameOf(chain_id, OwnersText(map));
  const auto use = [&] { return data_.With([&](Data& data) { return Use(data, name, user); }); };
  if (use()) return Diff(name);
  const std::string what = "copy of layer " + chain_id.str() + " for a user namespace";

  StagedFolder staged(tmp_ / base::RandomId());
  RETURN_IF_ERROR(base::MakeDirs(staged.path(), 0755), what);
  ASSIGN_OR_RETURN(const ShiftedTree copied, CopyShifted(layer / "diff", staged.path() / "diff", map, context), what);
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(layer / "layer.json", kMaxRecordBytes), what);
  ASSIGN_OR_RETURN(LayerRecord record, DecodeLayer(text), what);
  record.bytes = copied.bytes;
  record.inodes = copied.inodes;
  record.links = copied.links;
  record.exact = true;
  RETURN_IF_ERROR(base::WriteFile(staged.path() / "layer.json", EncodeLayer(record)), what);
  RETURN_IF_ERROR(context.Check(what));
  RETURN_IF_ERROR(FlushFileSystem(staged.path()), what);

  const std::lock_guard lock(changing_);
  if (use()) return Diff(name);
  // A leftover that nobody uses and that could not be taken away.
  if (base::Exists(folder_ / name)) (void)rename((folder_ / name).c_str(), (tmp_ / base::RandomId()).c_str());
  if (rename(staged.path().c_str(), (folder_ / name).c_str()) != 0) return FailErrno(errno, what, ": rename");
  staged.Forget();
  RETURN_IF_ERROR(base::SyncFolder(folder_), what);
  data_.With([&](Data& data) {
    data.copies[name] = {.chain_id = chain_id, .usage = {.bytes = copied.bytes, .inodes = copied.inodes}};
    (void)Use(data, name, user);
  });
  return Diff(name);
}

void ShiftedLayers::Ref(const std::string& user, std::span<const Digest> chain_ids, std::string_view owners) {
  data_.With([&](Data& data) {
    for (const Digest& chain_id : chain_ids) {
      const std::string name = NameOf(chain_id, owners);
      data.retired.Ref(user, name);
      (void)Use(data, name, user);
    }
  });
}

void ShiftedLayers::Unref(const std::string& user) {
  bool retired = false;
  const bool unused = data_.With([&](Data& data) {
    retired = data.retired.Unref(user);
    const auto found = data.users.find(user);
    if (found == data.users.end()) return false;
    bool dropped = false;
    for (const std::string& name : found->second) dropped |= --data.copies.at(name).users == 0;
    data.users.erase(found);
    return dropped && data.collecting;
  });
  if (unused) Sweep();
  if (retired) RemoveUnusedRetired();
}

void ShiftedLayers::Collect() {
  data_.With([](Data& data) { data.collecting = true; });
  RemoveUnusedRetired();
  Sweep();
}

void ShiftedLayers::Sweep() {
  std::vector<Path> doomed;
  {
    const std::lock_guard lock(changing_);
    std::vector<std::string> unused;
    data_.With([&](Data& data) {
      std::erase_if(data.copies, [&](const auto& copy) {
        if (copy.second.users > 0) return false;
        unused.push_back(copy.first);
        return true;
      });
    });
    for (const std::string& name : unused) {
      const Path aside = tmp_ / base::RandomId();
      // One that cannot be moved is found unused again at the next start.
      if (rename((folder_ / name).c_str(), aside.c_str()) == 0) doomed.push_back(aside);
    }
  }
  // What cannot be removed now is removed by the next Open.
  for (const Path& path : doomed) (void)base::RemoveTree(path);
}

StoreUsage ShiftedLayers::Usage() const {
  return data_.With([](const Data& data) {
    StoreUsage sum;
    for (const auto& [name, kept] : data.copies) {
      sum.bytes += kept.usage.bytes;
      sum.inodes += kept.usage.inodes;
    }
    return sum;
  });
}

std::vector<ShiftedLayers::Copy> ShiftedLayers::List() const {
  return data_.With([&](const Data& data) {
    std::vector<Copy> out;
    for (const auto& [name, kept] : data.copies)
      out.push_back({.name = name, .chain_id = kept.chain_id, .diff = Diff(name)});
    return out;
  });
}

Status ShiftedLayers::Retire(const std::string& name) {
  Status moved;
  {
    const std::lock_guard lock(changing_);
    const auto folder = data_.With([&](Data& data) -> std::optional<std::string> {
      if (data.copies.erase(name) == 0) return std::nullopt;
      std::set<std::string> users;
      for (auto& [user, names] : data.users) {
        if (std::erase(names, name) > 0) users.insert(user);
      }
      return data.retired.Add(name, std::move(users));
    });
    if (!folder) return {};
    moved = MoveToRetired(folder_ / name, retired_, *folder);
  }
  RemoveUnusedRetired();
  return moved;
}

void ShiftedLayers::RemoveUnusedRetired() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(changing_);  // what is being moved there has its name before its folder
    names =
        data_.With([](Data& data) { return data.collecting ? data.retired.TakeUnused() : std::vector<std::string>(); });
  }
  RemoveRetired(retired_, names);
}

Result<std::vector<std::string>> ShiftedLayers::Strays(bool remove) {
  const std::lock_guard lock(changing_);
  ASSIGN_OR_RETURN(std::vector<std::string> names, base::ListFolder(folder_));
  data_.With([&](const Data& data) {
    std::erase_if(names, [&](const std::string& name) { return data.copies.contains(name); });
  });
  for (const std::string& name : names) {
    if (remove) RETURN_IF_ERROR(base::RemoveTree(folder_ / name));
  }
  return names;
}

bool ShiftedLayers::Has(const std::string& name) const {
  return data_.With([&](const Data& data) { return data.copies.contains(name); });
}

}  // namespace berth::image
