// What `check` asks of the store.
#include <stdio.h>

#include <algorithm>
#include <cerrno>

#include "image/store_state.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

namespace {

bool SameRecord(const Image& a, const Image& b) {
  return a.config_json == b.config_json && a.manifest_digest == b.manifest_digest && a.repo_tags == b.repo_tags &&
         a.repo_digests == b.repo_digests && a.size == b.size && a.created == b.created && a.reference == b.reference;
}

}  // namespace

std::vector<Digest> Store::Layers() const {
  return state_->data.With([](const State::Data& data) {
    std::vector<Digest> out;
    for (const auto& [chain_id, layer] : data.layers) out.push_back(chain_id);
    std::ranges::sort(out);
    return out;
  });
}

ImagePtr Store::State::Known(const std::string& id) {
  return data.With([&](const Data& locked) {
    const auto found = locked.images.find(id);
    return found == locked.images.end() ? nullptr : found->second;
  });
}

Status Store::CheckRecord(const std::string& id) const {
  const std::lock_guard lock(state_->changing);
  const ImagePtr image = state_->Known(id);
  if (!image) return {};
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(state_->records / RecordName(id), kMaxRecordBytes));
  ASSIGN_OR_RETURN(const ImageRecord record, DecodeImage(text));
  return SameRecord(record.image, *image) ? Status()
                                          : Fail(Code::kInternal, "the record says something else than it should");
}

Status Store::RewriteRecord(const std::string& id) {
  const std::lock_guard lock(state_->changing);
  const ImagePtr image = state_->Known(id);
  return image ? state_->WriteRecord(*image) : Status();
}

Result<std::vector<std::string>> Store::RetireLayer(const Digest& chain_id) {
  const auto has_it = [&](const Image& image) {
    return std::ranges::find(image.chain_ids, chain_id) != image.chain_ids.end();
  };
  std::vector<std::string> removed;
  Status moved;
  {
    const std::lock_guard lock(state_->changing);
    if (!HasLayer(chain_id)) return removed;
    const auto images = List();
    for (const ImagePtr& image : *images) {
      if (!has_it(*image)) continue;
      RETURN_IF_ERROR(base::RemoveFile(state_->records / RecordName(image->id)), "remove image ", image->id);
      removed.push_back(image->id);
    }
    RETURN_IF_ERROR(base::SyncFolder(state_->records), "remove images");
    const std::string folder =
        state_->data.With([&](State::Data& data) { return State::Forget(data, chain_id, removed); });
    moved = MoveToRetired(state_->LayerPath(chain_id), state_->retired, folder);
  }
  state_->Sweep();
  state_->RemoveUnusedRetired();
  RETURN_IF_ERROR(moved, "layer ", chain_id.str());
  return removed;
}

std::string Store::State::Forget(Data& locked, const Digest& chain_id, const std::vector<std::string>& images) {
  for (const std::string& id : images) {
    const auto image = locked.images.find(id);
    (void)DropUser(locked, image->second->chain_ids);
    locked.images.erase(image);
  }
  Publish(locked);
  // Should it be pulled again, it is not theirs to give back.
  std::set<std::string> users;
  for (auto& [user, used] : locked.containers) {
    if (std::erase(used, chain_id) > 0) users.insert(user);
  }
  const auto layer = locked.layers.find(chain_id);
  locked.usage.bytes -= layer->second.bytes;
  locked.usage.inodes -= layer->second.inodes;
  locked.layers.erase(layer);
  return locked.retired.Add(chain_id.hex(), std::move(users));
}

void Store::State::RemoveUnusedRetired() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(changing);  // what is being moved there has its name before its folder
    names = data.With(
        [](Data& locked) { return locked.collecting ? locked.retired.TakeUnused() : std::vector<std::string>(); });
  }
  RemoveRetired(retired, names);
}

Result<std::vector<std::string>> Store::Strays(bool remove) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view folder, const std::string& name) {
    out.push_back(base::Cat(folder, "/", name));
  };
  std::vector<Path> doomed;
  {
    const std::lock_guard lock(state_->changing);
    std::set<std::string> layers, records;
    state_->data.With([&](const State::Data& data) {
      for (const auto& [chain_id, layer] : data.layers) layers.emplace(chain_id.hex());
      for (const auto& [id, image] : data.images) records.insert(RecordName(id));
    });
    ASSIGN_OR_RETURN(const auto folders, base::ListFolder(state_->folder_of_layers));
    for (const std::string& name : folders) {
      if (layers.contains(name)) continue;
      add("layers", name);
      if (!remove) continue;
      doomed.push_back(state_->NewTemporary());
      const Path from = state_->folder_of_layers / name;
      if (rename(from.c_str(), doomed.back().c_str()) != 0) return FailErrno(errno, "rename ", from.native());
    }
    ASSIGN_OR_RETURN(const auto files, base::ListFolder(state_->records));
    for (const std::string& name : files) {
      if (records.contains(name)) continue;
      add("records", name);
      const Path from = state_->records / name;
      if (remove && rename(from.c_str(), (state_->broken / name).c_str()) != 0)
        return FailErrno(errno, "rename ", from.native());
    }
  }
  for (const Path& path : doomed) RETURN_IF_ERROR(base::RemoveTree(path));
  ASSIGN_OR_RETURN(const auto copies, state_->shifted.Strays(remove));
  for (const std::string& name : copies) add("shifted", name);
  return out;
}

}  // namespace berth::image
