// One pull from its start to its end, whoever waits for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/manifest.h"
#include "image/pull.h"
#include "image/registry.h"
#include "image/store.h"
#include "state/timeline.h"

namespace berth::image {

class PullOperation;

// Which pull brings which layer, by chain id, so that no layer is fetched twice at once. Shared by all pulls of a
// Puller. A pull waits only for layers that were claimed before it claimed its own, so that no two wait for each other.
struct LayerBoard {
  std::mutex mutex;
  std::condition_variable changed;  // claims, results of layers, cancellation
  std::map<Digest, const PullOperation*> claims;
};

// What is pulled when it comes from no registry.
struct LocalImage {
  std::shared_ptr<ContentSource> source;
  Resolved top;                        // index or manifest
  std::vector<std::string> repo_tags;  // full names
  std::vector<std::string> repo_digests;
  std::string shown;  // names it in errors and progress
};

// Run is called once, on one thread; the rest is thread-safe.
class PullOperation {
 public:
  PullOperation(const Puller::Options& options, LayerBoard* board, TokenCache* tokens, Reference reference,
                AuthConfig auth);
  PullOperation(const Puller::Options& options, LayerBoard* board, LocalImage local);

  // Blocks. When it fails nothing is left: no record, no folder, and layers that nobody else needs go with their pins.
  base::Result<PullResult> Run();
  void Cancel();
  bool cancelled() const { return context_.cancelled(); }
  PullProgress Progress() const;
  bool from_archive() const { return local_.source != nullptr; }
  // Its steps and those of its layers, by the time they began. After Run.
  state::TimelineSummary Timeline() const;

 private:
  // What is to be unpacked, chosen for this host.
  struct Selected {
    Digest digest;  // of the manifest
    Manifest manifest;
    ImageConfig config;
    std::string config_body;
  };
  struct Layer {
    Descriptor descriptor;
    Digest diff_id;
    Digest chain_id;
    std::optional<LayerPin> pin;  // the operation's own thread only
    std::atomic<int64_t> done = 0;
    std::atomic<LayerState> state = LayerState::kWaiting;
    std::atomic<bool> fetched = false;
    // Under the board's mutex:
    bool mine = false;
    std::optional<base::Result<UnpackedLayer>> unpacked;
  };

  base::Result<PullResult> Pull();
  base::Result<PullResult> PullFromRegistry();
  // Everything behind the top document.
  base::Result<PullResult> Bring(const Resolved& top);
  base::Result<PullResult> BringSelected(const Resolved& top, Selected selected);
  base::Result<PullResult> BringArtifact(const Resolved& top, const Selected& selected);
  base::Result<UnpackedLayer> UnpackArtifact(Layer& layer, const Manifest& manifest,
                                             const std::vector<std::string>& names);
  // Writes the image's record, with the names that were pulled; its layers are here.
  base::Result<PullResult> Record(const Resolved& top, Image image);
  base::Result<std::optional<PullResult>> TagKnownImage(const Digest& digest);
  // Whether the policy lets an image through that is known by these digests.
  base::Status CheckSigned(RegistryClient& registry, const std::vector<Digest>& digests);
  base::Result<Selected> Select(const Resolved& resolved, int depth, bool platform_named);
  base::Result<Selected> SelectFromIndex(const Index& index, int depth);
  base::Result<Selected> SelectManifest(Manifest manifest, const Digest& digest, bool platform_named);
  void MakeLayers(const Selected& selected);
  base::Status BringLayers(base::Executor& threads);
  base::Status BringLayer(size_t index, base::Executor& threads);
  base::Status Claim(Layer& layer, base::Executor& threads);
  base::Status Commit(size_t index);
  void FetchLayer(Layer& layer);
  base::Result<UnpackedLayer> Unpack(Layer& layer);
  void SetStage(std::string_view stage);
  void LayerStep(std::string_view what, const Layer& layer, int64_t started_at, base::TimePoint begin);
  base::Error CauseOr(base::Error error);
  void ReleaseClaims();

  const Puller::Options& options_;
  LayerBoard* const board_;
  TokenCache* const tokens_;
  const Reference reference_;
  const AuthConfig auth_;
  const base::Context context_ = base::Context::Make();
  LocalImage local_;  // of a registry's pull only what names it
  std::shared_ptr<ContentSource> source_;
  std::vector<SignatureRequirement> requirements_;  // of the policy, for this reference
  int documents_ = 0;
  std::vector<std::shared_ptr<Layer>> layers_;  // set once, before the threads start
  std::optional<base::Error> cause_;            // under the board's mutex: what failed first

  struct Shown {
    std::string stage;
    std::vector<std::shared_ptr<Layer>> layers;
  };
  mutable base::Guarded<Shown> shown_;
  std::optional<state::Timeline> timeline_;  // from the beginning of Run: a pull may wait for a thread
  mutable base::Guarded<std::vector<state::TimelineStep>> layer_steps_;  // two for each, at most
};

}  // namespace berth::image
