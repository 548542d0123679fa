#include "image/store.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>

#include "image/file_copy.h"
#include "image/layer_settle.h"
#include "image/store_names.h"
#include "image/store_state.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

void Merge(std::vector<std::string>& into, const std::vector<std::string>& from) {
  into.insert(into.end(), from.begin(), from.end());
  std::ranges::sort(into);
  // Not std::ranges::unique: clang 14 does not take the subrange it returns.
  into.erase(std::unique(into.begin(), into.end()), into.end());
}

// Moves a complete folder to its place. What may be there is a leftover that nobody uses: it ends up at `from`.
Status MoveIntoPlace(const Path& from, const Path& to, bool& exchanged) {
  exchanged = false;
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return FailErrno(errno, "rename ", from.native());
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    return FailErrno(errno, "exchange ", to.native());
  }
  exchanged = true;
  return {};
}

}  // namespace

Status Store::State::WriteRecord(const Image& image) {
  const std::string text = EncodeImage({.image = image, .sequence = ++sequence});
  return base::WriteFile(records / RecordName(image.id), text, 0600, base::Durability::kDurable);
}

void Store::State::Publish(Data& locked) {
  auto list = std::make_shared<ImageList>();
  for (const auto& [id, image] : locked.images) list->push_back(image);
  locked.list = std::move(list);
}

void Store::State::AddUser(Data& locked, std::span<const Digest> chain_ids) {
  for (const Digest& chain_id : chain_ids) {
    const auto layer = locked.layers.find(chain_id);
    if (layer != locked.layers.end()) ++layer->second.users;
  }
}

bool Store::State::DropUser(Data& locked, std::span<const Digest> chain_ids) {
  bool unused = false;
  for (const Digest& chain_id : chain_ids) {
    const auto layer = locked.layers.find(chain_id);
    if (layer != locked.layers.end() && layer->second.users > 0) unused |= --layer->second.users == 0;
  }
  return unused && locked.collecting;
}

// Takes away the layers that nobody needs: their names under the lock, their files outside.
void Store::State::Sweep() {
  std::vector<Path> doomed;
  {
    const std::lock_guard lock(changing);
    std::vector<Digest> unused;
    data.With([&](Data& locked) {
      if (!locked.collecting) return;
      for (auto layer = locked.layers.begin(); layer != locked.layers.end();) {
        if (layer->second.users > 0) {
          ++layer;
          continue;
        }
        unused.push_back(layer->first);
        locked.usage.bytes -= layer->second.bytes;
        locked.usage.inodes -= layer->second.inodes;
        layer = locked.layers.erase(layer);
      }
    });
    for (const Digest& chain_id : unused) {
      const Path aside = NewTemporary();
      // One that cannot be moved is found unused again at the next start.
      if (rename(LayerPath(chain_id).c_str(), aside.c_str()) == 0) doomed.push_back(aside);
    }
  }
  // What cannot be removed now is removed by the next Open.
  for (const Path& path : doomed) (void)base::RemoveTree(path);
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::~Store() = default;

const std::vector<StoreProblem>& Store::problems() const {
  return state_->problems;
}
const Path& Store::empty_folder() const {
  return state_->empty;
}

bool Store::HasLayer(const Digest& chain_id) const {
  return state_->data.With([&](State::Data& data) { return data.layers.contains(chain_id); });
}

std::optional<LayerPin> Store::AcquireLayer(const Digest& chain_id) {
  const auto made = state_->data.With([&](State::Data& data) -> std::optional<uint64_t> {
    const auto layer = data.layers.find(chain_id);
    if (layer == data.layers.end()) return std::nullopt;
    ++layer->second.users;
    return layer->second.made;
  });
  return made ? std::optional(LayerPin(this, chain_id, *made)) : std::nullopt;
}

Result<Path> Store::LayerFolder(const Digest& chain_id) const {
  if (!HasLayer(chain_id)) return Fail(Code::kNotFound, "layer ", chain_id.str(), " is not there");
  return state_->LayerPath(chain_id) / "diff";
}

Result<std::unique_ptr<LayerUnpacker>> Store::BeginLayer(const base::Context& context) {
  StagedFolder folder(state_->NewTemporary());
  RETURN_IF_ERROR(base::MakeDirs(folder.path(), 0755), "begin layer");
  return LayerUnpacker::Create(std::move(folder), state_->options.limits, context);
}

const LayerLimits& Store::limits() const {
  return state_->options.limits;
}

Result<UniqueFd> Store::SpareFile() const {
  auto fd = base::Open(state_->tmp, O_TMPFILE | O_RDWR, 0600);
  if (fd || fd.error().err != EOPNOTSUPP) return fd;
  const Path path = state_->NewTemporary();
  ASSIGN_OR_RETURN(UniqueFd named, base::Open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  RETURN_IF_ERROR(base::RemoveFile(path));
  return named;
}

Result<LayerPin> Store::CommitLayer(UnpackedLayer layer, const Digest& chain_id, std::span<const Digest> parents,
                                    const base::Context& context) {
  if (auto pin = AcquireLayer(chain_id)) return *std::move(pin);
  std::vector<Path> lower;
  for (auto parent = parents.rbegin(); parent != parents.rend(); ++parent) {
    auto folder = LayerFolder(*parent);
    if (!folder) return Fail(Code::kFailedPrecondition, "commit layer ", chain_id.str(), ": ", folder.error().message);
    lower.push_back(*std::move(folder));
  }
  RETURN_IF_ERROR(SettleLayer(layer, lower, context), "commit layer ", chain_id.str());
  const LayerRecord record{.chain_id = chain_id,
                           .parent = parents.empty() ? Digest() : parents.back(),
                           .diff_id = layer.diff_id,
                           .bytes = layer.bytes,
                           .inodes = layer.inodes,
                           .links = layer.links,
                           .exact = layer.exact,
                           .sum = layer.sum};
  RETURN_IF_ERROR(base::WriteFile(layer.folder.path() / "layer.json", EncodeLayer(record)), "commit layer ",
                  chain_id.str());
  RETURN_IF_ERROR(context.Check("commit layer"));
  RETURN_IF_ERROR(FlushFileSystem(layer.folder.path()), "commit layer ", chain_id.str());

  const std::lock_guard lock(state_->changing);
  if (auto pin = AcquireLayer(chain_id)) return *std::move(pin);
  bool exchanged = false;
  RETURN_IF_ERROR(MoveIntoPlace(layer.folder.path(), state_->LayerPath(chain_id), exchanged), "commit layer ",
                  chain_id.str());
  if (!exchanged) layer.folder.Forget();
  RETURN_IF_ERROR(base::SyncFolder(state_->folder_of_layers), "commit layer ", chain_id.str());
  const uint64_t made = state_->data.With([&](State::Data& data) {
    data.layers[chain_id] = {.bytes = record.bytes, .inodes = record.inodes, .users = 1, .made = ++data.made};
    data.usage.bytes += record.bytes;
    data.usage.inodes += record.inodes;
    return data.made;
  });
  return LayerPin(this, chain_id, made);
}

Result<ImagePtr> Store::PutImage(Image image) {
  RETURN_IF_ERROR(DeriveFromConfig(image), "put image");
  std::ranges::sort(image.repo_tags);
  std::ranges::sort(image.repo_digests);
  const std::lock_guard lock(state_->changing);

  std::vector<Image> losers;
  bool known = false;
  const auto missing = state_->data.With([&](State::Data& data) -> std::optional<Digest> {
    for (const Digest& chain_id : image.chain_ids) {
      if (!data.layers.contains(chain_id)) return chain_id;
    }
    State::AddUser(data, image.chain_ids);
    for (const auto& [id, other] : data.images) {
      if (id == image.id) {
        known = true;
        Merge(image.repo_tags, other->repo_tags);
        Merge(image.repo_digests, other->repo_digests);
        continue;
      }
      Image loser = *other;
      const auto taken = [&](const std::string& tag) { return std::ranges::binary_search(image.repo_tags, tag); };
      if (std::erase_if(loser.repo_tags, taken) > 0) losers.push_back(std::move(loser));
    }
    return std::nullopt;
  });
  if (missing)
    return Fail(Code::kFailedPrecondition, "put image ", image.id, ": layer ", missing->str(), " is not there");
  if (Status written = state_->WriteRecord(image); !written) {
    state_->data.With([&](State::Data& data) { (void)State::DropUser(data, image.chain_ids); });
    return tl::make_unexpected(base::Wrap(std::move(written).error(), "put image ", image.id));
  }
  // Should this fail, the sequence numbers tell who has the tag.
  for (const Image& loser : losers) (void)state_->WriteRecord(loser);

  image.pinned = MatchesPattern(image, state_->options.pinned);
  const auto result = std::make_shared<const Image>(std::move(image));
  state_->data.With([&](State::Data& data) {
    if (known) (void)State::DropUser(data, result->chain_ids);
    data.images[result->id] = result;
    for (Image& loser : losers) {
      loser.pinned = MatchesPattern(loser, state_->options.pinned);
      data.images[loser.id] = std::make_shared<const Image>(loser);
    }
    State::Publish(data);
  });
  return result;
}

std::shared_ptr<const ImageList> Store::List() const {
  return state_->data.With([](State::Data& data) { return data.list; });
}

StoreUsage Store::Usage() const {
  StoreUsage usage = state_->data.With([](State::Data& data) { return data.usage; });
  const StoreUsage copies = state_->shifted.Usage();
  usage.bytes += copies.bytes;
  usage.inodes += copies.inodes;
  return usage;
}

Result<ImagePtr> Store::Find(std::string_view text) const {
  return FindImage(*List(), text, state_->options.candidates);
}

Status Store::Remove(std::string_view text) {
  bool unused = false;
  Status flushed;
  {
    const std::lock_guard lock(state_->changing);
    ASSIGN_OR_RETURN(const ImagePtr image, Find(text));
    if (!image) return {};
    RETURN_IF_ERROR(base::RemoveFile(state_->records / RecordName(image->id)), "remove image ", image->id);
    // The record's end must be on disk before the layers go.
    flushed = base::SyncFolder(state_->records);
    unused = state_->data.With([&](State::Data& data) {
      data.images.erase(image->id);
      State::Publish(data);
      return State::DropUser(data, image->chain_ids);
    });
  }
  RETURN_IF_ERROR(flushed, "remove image ", text);
  if (unused) state_->Sweep();
  return {};
}

Result<ImagePtr> Store::RefImage(std::string_view text, const std::string& user) {
  ASSIGN_OR_RETURN(const ImagePtr found, Find(text));
  bool unused = false;
  const ImagePtr image = state_->data.With([&](State::Data& data) -> ImagePtr {
    // It may have been removed since.
    const auto still = found ? data.images.find(found->id) : data.images.end();
    if (still == data.images.end()) return nullptr;
    State::AddUser(data, still->second->chain_ids);
    std::vector<Digest>& used = data.containers[user];
    unused = State::DropUser(data, used);
    used = still->second->chain_ids;
    return still->second;
  });
  if (unused) state_->Sweep();
  if (!image) return Fail(Code::kNotFound, "image ", text, " is not there");
  return image;
}

void Store::RefLayers(const std::string& user, std::span<const Digest> chain_ids) {
  const bool unused = state_->data.With([&](State::Data& data) {
    // A layer that is gone is not counted, so it must not be counted back should it be pulled again.
    std::vector<Digest> present(chain_ids.begin(), chain_ids.end());
    std::erase_if(present, [&](const Digest& chain_id) { return !data.layers.contains(chain_id); });
    State::AddUser(data, present);
    for (const Digest& chain_id : chain_ids) data.retired.Ref(user, chain_id.hex());
    std::vector<Digest>& used = data.containers[user];
    const bool dropped = State::DropUser(data, used);
    used = std::move(present);
    return dropped;
  });
  if (unused) state_->Sweep();
}

ShiftedLayers& Store::shifted() {
  return state_->shifted;
}

void Store::Unref(const std::string& user) {
  state_->shifted.Unref(user);
  bool retired = false;
  const bool unused = state_->data.With([&](State::Data& data) {
    retired = data.retired.Unref(user);
    const auto container = data.containers.find(user);
    if (container == data.containers.end()) return false;
    const bool dropped = State::DropUser(data, container->second);
    data.containers.erase(container);
    return dropped;
  });
  if (unused) state_->Sweep();
  if (retired) state_->RemoveUnusedRetired();
}

void Store::Collect() {
  state_->data.With([](State::Data& data) { data.collecting = true; });
  state_->RemoveUnusedRetired();
  state_->Sweep();
  state_->shifted.Collect();
}

LayerPin::LayerPin(LayerPin&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)), chain_id_(std::move(other.chain_id_)), made_(other.made_) {}

LayerPin& LayerPin::operator=(LayerPin&& other) noexcept {
  LayerPin old(std::move(*this));
  store_ = std::exchange(other.store_, nullptr);
  chain_id_ = std::move(other.chain_id_);
  made_ = other.made_;
  return *this;
}

LayerPin::~LayerPin() {
  if (store_ == nullptr) return;
  const bool unused = store_->state_->data.With([&](Store::State::Data& data) {
    const auto layer = data.layers.find(chain_id_);
    // A broken one may have been taken away, and pulled again, meanwhile.
    if (layer == data.layers.end() || layer->second.made != made_) return false;
    return Store::State::DropUser(data, std::span(&chain_id_, 1));
  });
  if (unused) store_->state_->Sweep();
}

}  // namespace berth::image
