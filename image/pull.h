// Pulling: from a reference to an image in the store, in one pass, shared by all who ask for the same with the same
// credentials.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/auth.h"
#include "image/digest.h"
#include "image/platform.h"
#include "image/reference.h"
#include "image/registry.h"
#include "state/timeline.h"

namespace berth::image {

class Store;

enum class LayerState {
  kWaiting,       // for a thread, or for another pull that brings the same layer
  kTransferring,  // and being unpacked meanwhile
  kDone,          // unpacked, or was here already
};

struct LayerProgress {
  Digest digest;      // of the compressed layer
  int64_t total = 0;  // bytes
  int64_t done = 0;
  LayerState state = LayerState::kWaiting;
  bool fetched = false;  // by this pull; else it was here or came with another
};

struct PullProgress {
  std::string reference;              // normal form
  std::string stage;                  // "resolve", "config", "layers", "commit"
  std::vector<LayerProgress> layers;  // lowest first; empty until the manifest is known
};

struct PullResult {
  Digest image_id;  // digest of the config
  Digest digest;    // of the top document, as in repo_digests
};

struct ImportedImage {
  Digest image_id;
  std::vector<std::string> names;  // full; may be none
};

// What a pull was, for those who count and those who keep.
struct PullEnd {
  std::string request;  // of the call that began it
  bool from_archive = false;
  std::string image_id;  // empty: it failed
  // "resolve", "config", "layers", "commit"; besides them what was done for each layer, which overlaps:
  // "fetch 0123456789ab" (and unpack), "commit 0123456789ab".
  state::TimelineSummary timeline;
  const base::Error* error = nullptr;  // nullptr: success
  uint64_t bytes = 0;                  // of layers, transferred
  size_t layers_fetched = 0;
  size_t layers_reused = 0;
};

// Thread-safe. Outlives its calls; destroying it cancels what runs and waits for that.
class Puller {
 public:
  struct Options {
    Store* store = nullptr;  // not owned
    RegistryOptions registry;
    size_t parallel_layers = 3;  // of one pull
    size_t pulls = 16;           // at once; more wait
    Platform platform = HostPlatform();
    std::function<void(const PullEnd&)> ended{};  // of each pull that was begun, however many waited for it; any thread
  };
  explicit Puller(Options options);
  ~Puller();

  // Blocks. Joins a pull in flight of the same reference with the same credentials; when every caller's context has
  // ended, that pull is cancelled and leaves nothing behind. A reference by digest that is in the store needs no
  // network. Errors as in registry.h; kUnavailable for what CRI calls RegistryUnavailable.
  base::Result<PullResult> Pull(const Reference& reference, const AuthConfig& auth, const base::Context& context);

  // A name as people write it. What a short one may mean is tried in turn until one is there; with several to try,
  // credentials without a server address are for docker.io's alone, which is what the kubelet takes a short name for.
  // The id of an image that is here is that image; one that is not is kNotFound.
  base::Result<PullResult> PullName(std::string_view text, const AuthConfig& auth, const base::Context& context);

  // The images of an archive on this machine: an OCI layout or docker's format in a tar file, plain or compressed.
  // Blocks; each image is brought as a pull is. An image that fails ends it; those before stay.
  base::Result<std::vector<ImportedImage>> Import(const base::Path& file, const base::Context& context);

  // What a name as people write it may stand for, the first to be tried first.
  base::Result<std::vector<Reference>> Candidates(std::string_view text) const;

  // The pulls in flight. Never waits for one.
  std::vector<PullProgress> InFlight() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::image
