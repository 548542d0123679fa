// The images of this node: layers by chain id, one record for each image.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/digest.h"
#include "image/layer_unpacker.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/shifted_layers.h"

namespace berth::image {

struct Image {
  std::string id;                         // "sha256:<hex>": the digest of config_json
  std::string config_json;                // the configuration as served
  ImageConfig config;                     // the same, parsed
  std::vector<Digest> chain_ids;          // of config.diff_ids: lowest first
  Digest manifest_digest;                 // of the manifest that was unpacked
  std::vector<std::string> repo_tags;     // full names, sorted
  std::vector<std::string> repo_digests;  // full names, sorted
  uint64_t size = 0;                      // bytes: the compressed layers and the configuration
  int64_t created = 0;                    // Unix nanoseconds, of the last pull
  std::string reference;                  // the last pulled
  bool pinned = false;                    // by Options::pinned; not stored
};
using ImagePtr = std::shared_ptr<const Image>;
using ImageList = std::vector<ImagePtr>;  // sorted by id

// A part of the store that could not be used and was set aside; `what` is a sentence for the log.
struct StoreProblem {
  std::string name;  // of the layer or record
  std::string what;
};

using NameCandidates = std::function<base::Result<std::vector<Reference>>(std::string_view)>;

// Keeps layers on disk while it lives; for a pull, from BeginLayer's check to PutImage. May outlive nothing but the
// store.
class LayerPin;

// On disk below Options::folder (docs/architecture.md, "Two roots"):
//   layers/<chain hex>/{layer.json,diff/}  complete as soon as it is visible
//   records/<hex>.json                     one for each image, written after its layers
//   shifted/<chain hex>.<owners>/...       copies of layers (shifted_layers.h)
//   tmp/                                   what is being unpacked or removed; emptied by Open
//   broken/                                records that could not be used
//   retired/{layers,shifted}/              broken folders that containers still have mounted
// Thread-safe. Reading (Find, List, Usage, HasLayer) never waits for a pull or a removal. PutImage, Remove and the last
// step of CommitLayer wait for each other, for a few small disk writes.
class Store {
 public:
  struct Options {
    base::Path folder;
    // Images never to be collected by the kubelet: full names, "*" allowed at either end.
    std::vector<std::string> pinned;
    LayerLimits limits;
    // What a text that is no id may stand for; by default Reference::Parse alone.
    NameCandidates candidates;
  };

  // Opens whatever is there: what is broken is set aside and told by problems(). An error means that the folder itself
  // cannot be used.
  static base::Result<std::unique_ptr<Store>> Open(Options options);
  ~Store();

  const std::vector<StoreProblem>& problems() const;  // found by Open

  // Layers.
  bool HasLayer(const Digest& chain_id) const;
  // Nothing when the layer is not there.
  std::optional<LayerPin> AcquireLayer(const Digest& chain_id);
  // The context ends what its Write waits for.
  base::Result<std::unique_ptr<LayerUnpacker>> BeginLayer(const base::Context& context = {});
  const LayerLimits& limits() const;
  // A file without a name on the store's disk, gone with its descriptor.
  base::Result<base::UniqueFd> SpareFile() const;
  // Settles what refers to lower layers, flushes and makes the layer visible: data, name, folder. `parents` are the
  // chain ids below, lowest first, all present (kFailedPrecondition otherwise) and pinned by the caller. A layer that
  // is already there is success and `layer` is dropped. The caller has compared layer.diff_id with the configuration.
  base::Result<LayerPin> CommitLayer(UnpackedLayer layer, const Digest& chain_id, std::span<const Digest> parents,
                                     const base::Context& context);

  // Images. PutImage adds the record or merges tags and digests into the one of the same id; another image that had one
  // of the tags loses it and stays. The caller fills config_json and what follows chain_ids; the rest is derived here.
  // kFailedPrecondition when a layer is not there.
  base::Result<ImagePtr> PutImage(Image image);
  // By id (with or without "sha256:"), a unique prefix of at least three hex digits, or a reference with tag or digest,
  // in short or full form. nullptr when there is none; kInvalidArgument for an ambiguous prefix.
  base::Result<ImagePtr> Find(std::string_view text) const;
  // Removes the whole image, found as by Find. "Idempotent" (CRI, RemoveImage): none is success. Layers that a
  // container uses stay until its Unref.
  base::Status Remove(std::string_view text);
  std::shared_ptr<const ImageList> List() const;
  StoreUsage Usage() const;  // of all layers and copies of layers, from their records

  // Containers. RefImage finds the image and keeps its layers for `user` (a container id) until Unref(user).
  // kNotFound when there is none.
  base::Result<ImagePtr> RefImage(std::string_view text, const std::string& user);
  // After a restart: the container `user` uses these layers, whether its image is still there or not.
  void RefLayers(const std::string& user, std::span<const Digest> chain_ids);
  // Unknown users are ignored. Removes layers and copies that nobody needs any more.
  void Unref(const std::string& user);
  // Call once after the restored containers have called RefLayers: from now on unneeded layers are removed, those
  // left from before at once. Until then nothing is removed.
  void Collect();

  // Copies of layers for pods whose owners the kernel cannot map.
  ShiftedLayers& shifted();

  // For `check`, which repairs (store_repair.cc).
  std::vector<Digest> Layers() const;
  // Whether the image's record on disk is whole and says the same. An image that is gone is success.
  base::Status CheckRecord(const std::string& id) const;
  base::Status RewriteRecord(const std::string& id);
  // Takes a broken layer away, with the images that have it, whose ids are returned: so it can be pulled again.
  // Containers that have it mounted keep what is left of it. One that is gone is success.
  base::Result<std::vector<std::string>> RetireLayer(const Digest& chain_id);
  // What lies in the store's folders and is none of its own, by path below Options::folder; with `remove` it is taken
  // away, files to broken/.
  base::Result<std::vector<std::string>> Strays(bool remove);

  // The "diff" folder of a layer that is there; kNotFound otherwise.
  base::Result<base::Path> LayerFolder(const Digest& chain_id) const;
  // An empty folder, for images without layers.
  const base::Path& empty_folder() const;

 private:
  friend class LayerPin;
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class LayerPin {
 public:
  LayerPin() = default;
  LayerPin(LayerPin&& other) noexcept;
  LayerPin& operator=(LayerPin&& other) noexcept;
  ~LayerPin();

  const Digest& chain_id() const { return chain_id_; }

 private:
  friend class Store;
  LayerPin(Store* store, Digest chain_id, uint64_t made) : store_(store), chain_id_(std::move(chain_id)), made_(made) {}
  Store* store_ = nullptr;
  Digest chain_id_;
  uint64_t made_ = 0;
};

}  // namespace berth::image
