#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "image/store_names.h"
#include "image/store_state.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

Status Store::State::MakeFolders() {
  RETURN_IF_ERROR(base::MakeDirs(options.folder, 0700));
  if (auto removed = base::RemoveTree(tmp); !removed) Problem("tmp", removed.error().Text());
  for (const Path& path : {folder_of_layers, records, tmp, broken, retired, empty})
    RETURN_IF_ERROR(base::MakeDirs(path, 0755));
  return {};
}

Result<LayerRecord> Store::State::LoadLayer(const std::string& name) const {
  const Path path = folder_of_layers / name;
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path / "layer.json", kMaxRecordBytes));
  ASSIGN_OR_RETURN(LayerRecord record, DecodeLayer(text));
  if (record.chain_id.empty() || record.chain_id.hex() != name)
    return Fail(Code::kInternal, "the record is another layer's");
  struct stat info {};
  if (lstat((path / "diff").c_str(), &info) != 0) return FailErrno(errno, "stat diff");
  if (!S_ISDIR(info.st_mode)) return Fail(Code::kInternal, "diff is not a folder");
  return record;
}

void Store::State::LoadLayers(Data& loading) {
  if (auto left = base::ListFolder(retired)) loading.retired.TakeUp(*std::move(left));
  const auto names = base::ListFolder(folder_of_layers);
  if (!names) return Problem("layers", names.error().Text());
  for (const std::string& name : *names) {
    auto record = LoadLayer(name);
    if (record) {
      loading.layers[record->chain_id] = {.bytes = record->bytes, .inodes = record->inodes, .made = ++loading.made};
      loading.usage.bytes += record->bytes;
      loading.usage.inodes += record->inodes;
      continue;
    }
    Problem(name, base::Cat("layer removed: ", record.error().Text()));
    // A container may have it mounted.
    const Status moved = MoveToRetired(folder_of_layers / name, retired, loading.retired.Add(name, {}));
    if (!moved) Problem(name, moved.error().Text());
  }
}

Result<ImageRecord> Store::State::LoadImage(const Data& loading, const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(records / name, kMaxRecordBytes));
  ASSIGN_OR_RETURN(ImageRecord record, DecodeImage(text));
  if (RecordName(record.image.id) != name) return Fail(Code::kInternal, "the record is another image's");
  for (const Digest& chain_id : record.image.chain_ids) {
    if (!loading.layers.contains(chain_id)) return Fail(Code::kInternal, "layer ", chain_id.str(), " is missing");
  }
  return record;
}

void Store::State::LoadImages(Data& loading) {
  const auto names = base::ListFolder(records);
  if (!names) return Problem("records", names.error().Text());
  std::map<std::string, uint64_t> sequences;
  for (const std::string& name : *names) {
    if (name.ends_with(".tmp")) {
      (void)base::RemoveFile(records / name);  // a write that a crash cut short; tried again at the next start
      continue;
    }
    auto record = LoadImage(loading, name);
    if (!record) {
      Problem(name, base::Cat("record set aside: ", record.error().Text()));
      if (rename((records / name).c_str(), (broken / name).c_str()) != 0) Problem(name, "cannot be moved to broken/");
      continue;
    }
    Image image = std::move(record->image);
    sequence = std::max(sequence, record->sequence);
    const std::string id = image.id;  // an assignment's right side comes first: it would take the key away
    sequences[id] = record->sequence;
    loading.images[id] = std::make_shared<const Image>(std::move(image));
  }
  for (const auto& [id, image] : std::map(loading.images)) TakeTags(loading, *image, sequences);
  for (auto& [id, image] : loading.images) {
    Image named = *image;
    named.pinned = MatchesPattern(named, options.pinned);
    image = std::make_shared<const Image>(std::move(named));
    AddUser(loading, image->chain_ids);
  }
}

// A crash between two records may leave a tag with both the new image and the old one: the later record has it.
void Store::State::TakeTags(Data& loading, const Image& image, std::map<std::string, uint64_t>& sequences) {
  Image kept = image;
  std::erase_if(kept.repo_tags, [&](const std::string& tag) {
    return std::ranges::any_of(loading.images, [&](const auto& other) {
      return sequences[other.first] > sequences[image.id] && std::ranges::binary_search(other.second->repo_tags, tag);
    });
  });
  if (kept.repo_tags.size() == image.repo_tags.size()) return;
  // Written too, or the tag would come back once the other image is removed.
  if (auto written = WriteRecord(kept); !written) Problem(kept.id, written.error().Text());
  loading.images[image.id] = std::make_shared<const Image>(std::move(kept));
}

Result<std::unique_ptr<Store>> Store::Open(Options options) {
  auto state = std::make_unique<State>(std::move(options));
  RETURN_IF_ERROR(state->MakeFolders(), "open image store");
  RETURN_IF_ERROR(
      state->shifted.Open([&](const std::string& name, std::string what) { state->Problem(name, std::move(what)); }),
      "open image store");
  State::Data data;
  state->LoadLayers(data);
  state->LoadImages(data);
  State::Publish(data);
  state->data.With([&](State::Data& locked) { locked = std::move(data); });
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

}  // namespace berth::image
