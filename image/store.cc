#include "image/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/guarded.h"
#include "base/strings.h"
#include "image/file_copy.h"
#include "image/layer_settle.h"
#include "image/store_names.h"
#include "image/store_records.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr size_t kMaxRecordBytes = 32 << 20;  // a configuration of kMaxConfigBytes, escaped
constexpr std::string_view kRecordSuffix = ".json";

std::string RecordName(std::string_view id) { return base::Cat(id.substr(id.find(':') + 1), kRecordSuffix); }

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

struct Store::State {
  struct Layer {
    uint64_t bytes = 0;
    uint64_t inodes = 0;
    size_t users = 0;  // pins, images and containers
  };
  struct Data {
    std::unordered_map<Digest, Layer> layers;
    std::map<std::string, ImagePtr> images;  // by id
    std::map<std::string, std::vector<Digest>> containers;
    std::shared_ptr<const ImageList> list = std::make_shared<ImageList>();
    StoreUsage usage;
    bool collecting = false;
  };

  explicit State(Options given) : options(std::move(given)) {}

  Status MakeFolders();
  void LoadLayers(Data& loading);
  void LoadImages(Data& loading);
  Result<LayerRecord> LoadLayer(const std::string& name) const;
  Result<ImageRecord> LoadImage(const Data& loading, const std::string& name) const;
  void TakeTags(Data& loading, const Image& image, std::map<std::string, uint64_t>& sequences);
  void Problem(const std::string& name, std::string what) { problems.push_back({name, std::move(what)}); }

  Path LayerPath(const Digest& chain_id) const { return folder_of_layers / chain_id.hex(); }
  Path NewTemporary() const { return tmp / base::RandomId(); }
  Status WriteRecord(const Image& image);

  static void Publish(Data& locked);
  static void AddUser(Data& locked, std::span<const Digest> chain_ids);
  static bool DropUser(Data& locked, std::span<const Digest> chain_ids);  // true when a layer has none left
  void Sweep();

  const Options options;
  const Path folder_of_layers = options.folder / "layers";
  const Path records = options.folder / "records";
  const Path tmp = options.folder / "tmp";
  const Path broken = options.folder / "broken";
  const Path empty = options.folder / "empty";
  std::vector<StoreProblem> problems;

  ShiftedLayers shifted{options.folder / "shifted", tmp};

  // Held over the few disk writes that make, change or remove a record or a layer's name, so that they reach the disk in the
  // order in which they become visible. Readers never take it.
  std::mutex changing;
  uint64_t sequence = 0;  // of the last record written
  base::Guarded<Data> data;
};

Status Store::State::MakeFolders() {
  RETURN_IF_ERROR(base::MakeDirs(options.folder, 0700));
  if (auto removed = base::RemoveTree(tmp); !removed) Problem("tmp", removed.error().Text());
  for (const Path& path : {folder_of_layers, records, tmp, broken, empty}) RETURN_IF_ERROR(base::MakeDirs(path, 0755));
  return {};
}

Result<LayerRecord> Store::State::LoadLayer(const std::string& name) const {
  const Path path = folder_of_layers / name;
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path / "layer.json", kMaxRecordBytes));
  ASSIGN_OR_RETURN(LayerRecord record, DecodeLayer(text));
  if (record.chain_id.empty() || record.chain_id.hex() != name) return Fail(Code::kInternal, "the record is another layer's");
  struct stat info {};
  if (lstat((path / "diff").c_str(), &info) != 0) return FailErrno(errno, "stat diff");
  if (!S_ISDIR(info.st_mode)) return Fail(Code::kInternal, "diff is not a folder");
  return record;
}

void Store::State::LoadLayers(Data& loading) {
  const auto names = base::ListFolder(folder_of_layers);
  if (!names) return Problem("layers", names.error().Text());
  for (const std::string& name : *names) {
    auto record = LoadLayer(name);
    if (record) {
      loading.layers[record->chain_id] = {.bytes = record->bytes, .inodes = record->inodes};
      loading.usage.bytes += record->bytes;
      loading.usage.inodes += record->inodes;
      continue;
    }
    Problem(name, base::Cat("layer removed: ", record.error().Text()));
    // Out of the way first: removing may take a while, or fail.
    const Path aside = NewTemporary();
    if (rename((folder_of_layers / name).c_str(), aside.c_str()) != 0) continue;
    if (auto removed = base::RemoveTree(aside); !removed) Problem(name, removed.error().Text());
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

Result<std::unique_ptr<Store>> Store::Open(Options options) {
  auto state = std::make_unique<State>(std::move(options));
  RETURN_IF_ERROR(state->MakeFolders(), "open image store");
  RETURN_IF_ERROR(state->shifted.Open([&](const std::string& name, std::string what) { state->Problem(name, std::move(what)); }),
                  "open image store");
  State::Data data;
  state->LoadLayers(data);
  state->LoadImages(data);
  State::Publish(data);
  state->data.With([&](State::Data& locked) { locked = std::move(data); });
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

const std::vector<StoreProblem>& Store::problems() const { return state_->problems; }
const Path& Store::empty_folder() const { return state_->empty; }

bool Store::HasLayer(const Digest& chain_id) const {
  return state_->data.With([&](State::Data& data) { return data.layers.contains(chain_id); });
}

std::optional<LayerPin> Store::AcquireLayer(const Digest& chain_id) {
  const bool there = state_->data.With([&](State::Data& data) {
    State::AddUser(data, std::span(&chain_id, 1));
    return data.layers.contains(chain_id);
  });
  return there ? std::optional(LayerPin(this, chain_id)) : std::nullopt;
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

const LayerLimits& Store::limits() const { return state_->options.limits; }

Status Store::CheckRecord(const Image& image) const {
  const std::lock_guard lock(state_->changing);
  const bool here = state_->data.With([&](State::Data& data) { return data.images.contains(image.id); });
  if (!here) return {};  // removed since
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(state_->records / RecordName(image.id), kMaxRecordBytes));
  ASSIGN_OR_RETURN(const ImageRecord record, DecodeImage(text));
  return record.image.id == image.id ? Status() : Fail(Code::kInternal, "the record is another image's");
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
                           .exact = layer.exact,
                           .sum = layer.sum};
  RETURN_IF_ERROR(base::WriteFile(layer.folder.path() / "layer.json", EncodeLayer(record)), "commit layer ", chain_id.str());
  RETURN_IF_ERROR(context.Check("commit layer"));
  RETURN_IF_ERROR(FlushFileSystem(layer.folder.path()), "commit layer ", chain_id.str());

  const std::lock_guard lock(state_->changing);
  if (auto pin = AcquireLayer(chain_id)) return *std::move(pin);
  bool exchanged = false;
  RETURN_IF_ERROR(MoveIntoPlace(layer.folder.path(), state_->LayerPath(chain_id), exchanged), "commit layer ", chain_id.str());
  if (!exchanged) layer.folder.Forget();
  RETURN_IF_ERROR(base::SyncFolder(state_->folder_of_layers), "commit layer ", chain_id.str());
  state_->data.With([&](State::Data& data) {
    data.layers[chain_id] = {.bytes = record.bytes, .inodes = record.inodes, .users = 1};
    data.usage.bytes += record.bytes;
    data.usage.inodes += record.inodes;
  });
  return LayerPin(this, chain_id);
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
  if (missing) return Fail(Code::kFailedPrecondition, "put image ", image.id, ": layer ", missing->str(), " is not there");
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

Result<ImagePtr> Store::Find(std::string_view text) const { return FindImage(*List(), text, state_->options.candidates); }

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
    std::vector<Digest>& used = data.containers[user];
    const bool dropped = State::DropUser(data, used);
    used = std::move(present);
    return dropped;
  });
  if (unused) state_->Sweep();
}

ShiftedLayers& Store::shifted() { return state_->shifted; }

void Store::Unref(const std::string& user) {
  state_->shifted.Unref(user);
  const bool unused = state_->data.With([&](State::Data& data) {
    const auto container = data.containers.find(user);
    if (container == data.containers.end()) return false;
    const bool dropped = State::DropUser(data, container->second);
    data.containers.erase(container);
    return dropped;
  });
  if (unused) state_->Sweep();
}

void Store::Collect() {
  state_->data.With([](State::Data& data) { data.collecting = true; });
  state_->Sweep();
  state_->shifted.Collect();
}

LayerPin::LayerPin(LayerPin&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)), chain_id_(std::move(other.chain_id_)) {}

LayerPin& LayerPin::operator=(LayerPin&& other) noexcept {
  LayerPin old(std::move(*this));
  store_ = std::exchange(other.store_, nullptr);
  chain_id_ = std::move(other.chain_id_);
  return *this;
}

LayerPin::~LayerPin() {
  if (store_ == nullptr) return;
  const bool unused = store_->state_->data.With(
      [&](Store::State::Data& data) { return Store::State::DropUser(data, std::span(&chain_id_, 1)); });
  if (unused) store_->state_->Sweep();
}

}  // namespace berth::image
