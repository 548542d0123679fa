#include "image/pull_operation.h"

#include <algorithm>
#include <iterator>

#include "base/time.h"
#include "image/artifact.h"
#include "image/layer_sink.h"

namespace berth::image {
namespace {

using base::Code;
constexpr int kMaxDocuments = 32;
constexpr size_t kLayerStack = 512 << 10;

}  // namespace

PullOperation::PullOperation(const Puller::Options& options, LayerBoard* board, TokenCache* tokens, Reference reference,
                             AuthConfig auth)
    : options_(options), board_(board), tokens_(tokens), reference_(std::move(reference)), auth_(std::move(auth)) {
  local_.shown = reference_.Full();
}

PullOperation::PullOperation(const Puller::Options& options, LayerBoard* board, LocalImage local)
    : options_(options), board_(board), tokens_(nullptr), local_(std::move(local)), source_(local_.source) {}

base::Result<PullResult> PullOperation::Run() {
  timeline_.emplace();
  base::Result<PullResult> result = Pull();
  timeline_->Finish();
  ReleaseClaims();
  if (!result) {
    // Folders and pins go before anyone is told.
    for (const auto& layer : layers_) {
      layer->unpacked.reset();
      layer->pin.reset();
    }
  }
  return result;
}

void PullOperation::Cancel() {
  context_.Cancel();
  // The lock lets nobody be between his look at the context and his wait.
  const std::lock_guard lock(board_->mutex);
  board_->changed.notify_all();
}

PullProgress PullOperation::Progress() const {
  const Shown shown = shown_.With([](const Shown& value) { return value; });
  PullProgress out{.reference = local_.shown, .stage = shown.stage, .layers = {}};
  for (const auto& layer : shown.layers) {
    out.layers.push_back({.digest = layer->descriptor.digest,
                          .total = layer->descriptor.size,
                          .done = layer->done,
                          .state = layer->state,
                          .fetched = layer->fetched});
  }
  return out;
}

void PullOperation::SetStage(std::string_view stage) {
  shown_.With([&](Shown& shown) { shown.stage = stage; });
  timeline_->Enter(stage);
}

void PullOperation::LayerStep(std::string_view what, const Layer& layer, int64_t started_at, base::TimePoint begin) {
  constexpr size_t kShort = 12;
  std::string stage = base::Cat(what, " ", layer.descriptor.digest.hex().substr(0, kShort));
  layer_steps_.Lock()->push_back({std::move(stage), started_at, base::Monotonic::now() - begin});
}

state::TimelineSummary PullOperation::Timeline() const {
  state::TimelineSummary out = timeline_->Summary();
  auto layers = layer_steps_.Lock();
  out.steps.insert(out.steps.end(), layers->begin(), layers->end());
  std::ranges::stable_sort(out.steps, std::ranges::less(), &state::TimelineStep::started_at);
  return out;
}

base::Result<PullResult> PullOperation::Pull() {
  return source_ ? Bring(local_.top) : PullFromRegistry();
}

base::Result<PullResult> PullOperation::PullFromRegistry() {
  const std::string& name = local_.shown;
  SetStage("resolve");
  ASSIGN_OR_RETURN(const SignaturePolicy policy, SignaturePolicy::Load(options_.registry.signature_policy));
  requirements_ = policy.For(reference_);
  if (!NeedsSignatures(requirements_)) RETURN_IF_ERROR(CheckSignatures(requirements_, {}, reference_, {}));
  ASSIGN_OR_RETURN(auto client, RegistryClient::Make(options_.registry, reference_, auth_, tokens_));
  RegistryClient& registry = *client;
  source_ = std::move(client);
  const auto known = [this](const Digest& digest) {
    const auto image = options_.store->Find(base::Cat(reference_.Name(), "@", digest.str()));
    // With its signature to be looked for the manifest is needed anyway.
    return image && *image != nullptr && !NeedsSignatures(requirements_);
  };
  ASSIGN_OR_RETURN(Resolved resolved, registry.Resolve(context_, known));
  if (resolved.body.empty()) {
    ASSIGN_OR_RETURN(const auto tagged, TagKnownImage(resolved.digest), name);
    if (tagged) return *tagged;
    ASSIGN_OR_RETURN(resolved, registry.Resolve(context_));  // removed in between
  }
  if (!reference_.tag.empty()) local_.repo_tags = {name};
  local_.repo_digests = {base::Cat(reference_.Name(), "@", resolved.digest.str())};
  if (!NeedsSignatures(requirements_)) return Bring(resolved);
  SetStage("config");
  ASSIGN_OR_RETURN(Selected selected, Select(resolved, 1, false), name);
  SetStage("signatures");
  std::vector<Digest> digests{resolved.digest};
  if (selected.digest != resolved.digest) digests.push_back(selected.digest);
  RETURN_IF_ERROR(CheckSigned(registry, digests));
  return BringSelected(resolved, std::move(selected));
}

// An index that is signed vouches for the manifests in it; a manifest may be signed by itself, too.
base::Status PullOperation::CheckSigned(RegistryClient& registry, const std::vector<Digest>& digests) {
  std::vector<ImageSignature> signatures;
  for (const Digest& digest : digests) {
    ASSIGN_OR_RETURN(auto found, registry.FetchSignatures(digest, context_), "signatures of ", local_.shown);
    std::ranges::move(found, std::back_inserter(signatures));
  }
  return CheckSignatures(requirements_, signatures, reference_, digests);
}

base::Result<PullResult> PullOperation::Bring(const Resolved& top) {
  SetStage("config");
  ASSIGN_OR_RETURN(Selected selected, Select(top, 1, false), local_.shown);
  return BringSelected(top, std::move(selected));
}

base::Result<PullResult> PullOperation::BringSelected(const Resolved& top, Selected selected) {
  if (IsArtifact(selected.manifest)) return BringArtifact(top, selected);
  const std::string& name = local_.shown;
  MakeLayers(selected);
  SetStage("layers");
  {
    base::Executor threads({.name = "pull-layer",
                            .threads = std::max<size_t>(options_.parallel_layers, 1),
                            .queue = kMaxLayers,
                            .stack_bytes = kLayerStack});
    base::Status brought = BringLayers(threads);
    if (!brought) {
      Cancel();  // the executor's end waits for the layers that are on their way
      return tl::make_unexpected(base::Wrap(CauseOr(std::move(brought).error()), name));
    }
  }
  SetStage("commit");
  Image image;
  image.manifest_digest = selected.digest;
  image.size = static_cast<uint64_t>(selected.manifest.LayerBytes()) + selected.config_body.size();
  image.config_json = std::move(selected.config_body);
  return Record(top, std::move(image));
}

base::Result<PullResult> PullOperation::Record(const Resolved& top, Image image) {
  const std::string& name = local_.shown;
  RETURN_IF_ERROR(context_.Check(name));
  image.repo_tags = local_.repo_tags;
  image.repo_digests = local_.repo_digests;
  image.created = base::UnixNanos();
  image.reference = name;
  ASSIGN_OR_RETURN(const ImagePtr put, options_.store->PutImage(std::move(image)), name);
  ASSIGN_OR_RETURN(Digest id, Digest::Parse(put->id), name);
  return PullResult{std::move(id), top.digest};
}

// The registry said that the tag means what is here already: only the name is to be written down.
base::Result<std::optional<PullResult>> PullOperation::TagKnownImage(const Digest& digest) {
  const std::string full_digest = base::Cat(reference_.Name(), "@", digest.str());
  ASSIGN_OR_RETURN(const ImagePtr found, options_.store->Find(full_digest));
  if (found == nullptr) return std::optional<PullResult>();
  Image image = *found;
  image.repo_tags = {reference_.Full()};
  image.repo_digests = {full_digest};
  image.created = base::UnixNanos();
  image.reference = reference_.Full();
  auto put = options_.store->PutImage(std::move(image));
  if (!put && put.error().code == Code::kFailedPrecondition)
    return std::optional<PullResult>();  // its layers have just gone
  RETURN_IF_ERROR(put);
  ASSIGN_OR_RETURN(Digest id, Digest::Parse((*put)->id));
  return std::optional(PullResult{std::move(id), digest});
}

base::Result<PullOperation::Selected> PullOperation::Select(const Resolved& resolved, int depth, bool platform_named) {
  if (++documents_ > kMaxDocuments)
    return base::Fail(Code::kInvalidArgument, "more than ", kMaxDocuments, " documents to look at");
  ASSIGN_OR_RETURN(Document document, ParseDocument(resolved.body, resolved.media_type));
  if (const auto* index = std::get_if<Index>(&document)) return SelectFromIndex(*index, depth);
  return SelectManifest(std::get<Manifest>(std::move(document)), resolved.digest, platform_named);
}

base::Result<PullOperation::Selected> PullOperation::SelectFromIndex(const Index& index, int depth) {
  if (depth > kMaxIndexDepth) return base::Fail(Code::kInvalidArgument, "indexes nested deeper than ", kMaxIndexDepth);
  base::Error none{.code = Code::kNotFound,
                   .message = base::Cat("no match for platform ", options_.platform.Text(), " in manifest: not found")};
  for (const size_t i : Candidates(index.manifests, options_.platform)) {
    const Descriptor& entry = index.manifests[i];
    const bool named = entry.platform && !entry.platform->architecture.empty();
    auto document = source_->FetchManifest(entry, context_);
    auto selected = document ? Select(*document, depth + 1, named) : tl::make_unexpected(document.error());
    if (selected || selected.error().code != Code::kNotFound) return selected;
    none = std::move(selected).error();
  }
  return tl::make_unexpected(std::move(none));
}

base::Result<PullOperation::Selected> PullOperation::SelectManifest(Manifest manifest, const Digest& digest,
                                                                    bool platform_named) {
  Selected out{.digest = digest, .manifest = std::move(manifest), .config = {}, .config_body = {}};
  if (IsArtifact(out.manifest)) return out;
  ASSIGN_OR_RETURN(out.config_body, source_->FetchSmall(out.manifest.config, kMaxConfigBytes, context_), "config");
  ASSIGN_OR_RETURN(out.config, ParseImageConfig(out.config_body));
  const Platform& platform = out.config.platform;
  // An index that names a platform is believed: many tools leave the config's as it was on the building machine.
  if (!platform_named && !platform.architecture.empty() && Rank(platform, Acceptable(options_.platform)) < 0) {
    return base::Fail(Code::kNotFound, "the image is for ", platform.Text(), ": no match for platform ",
                      options_.platform.Text(), " in manifest: not found");
  }
  if (out.config.diff_ids.size() != out.manifest.layers.size()) {
    return base::Fail(Code::kInvalidArgument, "the manifest has ", out.manifest.layers.size(),
                      " layers, the configuration ", out.config.diff_ids.size());
  }
  return out;
}

void PullOperation::MakeLayers(const Selected& selected) {
  const std::vector<Digest> chain_ids = ChainIds(selected.config.diff_ids);
  for (size_t i = 0; i < chain_ids.size(); ++i) {
    auto layer = std::make_shared<Layer>();
    layer->descriptor = selected.manifest.layers[i];
    layer->diff_id = selected.config.diff_ids[i];
    layer->chain_id = chain_ids[i];
    layers_.push_back(std::move(layer));
  }
  shown_.With([&](Shown& shown) { shown.layers = layers_; });
}

base::Status PullOperation::BringLayers(base::Executor& threads) {
  for (const auto& layer : layers_) RETURN_IF_ERROR(Claim(*layer, threads));
  for (size_t i = 0; i < layers_.size(); ++i) RETURN_IF_ERROR(BringLayer(i, threads));
  return {};
}

// Takes a layer that is here, or else starts to fetch it unless another pull does.
base::Status PullOperation::Claim(Layer& layer, base::Executor& threads) {
  {
    const std::lock_guard lock(board_->mutex);
    layer.mine = board_->claims.emplace(layer.chain_id, this).second;
  }
  // After the claim: who had it before has committed it or given up.
  layer.pin = options_.store->AcquireLayer(layer.chain_id);
  if (layer.pin) layer.state = LayerState::kDone;
  if (layer.pin || !layer.mine) return {};
  return threads.Submit([this, &layer] { FetchLayer(layer); });
}

// Waits until layer `index` is in the store; those below it are.
base::Status PullOperation::BringLayer(size_t index, base::Executor& threads) {
  Layer& layer = *layers_[index];
  while (!layer.pin) {
    {
      std::unique_lock lock(board_->mutex);
      board_->changed.wait(lock, [&] {
        return context_.cancelled() ||
               (layer.mine ? layer.unpacked.has_value() : !board_->claims.contains(layer.chain_id));
      });
    }
    RETURN_IF_ERROR(context_.Check("layers"));
    RETURN_IF_ERROR(layer.mine ? Commit(index) : Claim(layer, threads));
  }
  const std::lock_guard lock(board_->mutex);
  if (layer.mine && board_->claims.erase(layer.chain_id) > 0) board_->changed.notify_all();
  layer.mine = false;
  return {};
}

base::Status PullOperation::Commit(size_t index) {
  Layer& layer = *layers_[index];
  std::optional<base::Result<UnpackedLayer>> unpacked;
  {
    const std::lock_guard lock(board_->mutex);
    unpacked = std::exchange(layer.unpacked, std::nullopt);
  }
  ASSIGN_OR_RETURN(UnpackedLayer ready, *std::move(unpacked));
  const int64_t started_at = base::UnixNanos();
  const base::TimePoint begin = base::Monotonic::now();
  std::vector<Digest> parents;
  for (size_t i = 0; i < index; ++i) parents.push_back(layers_[i]->chain_id);
  ASSIGN_OR_RETURN(layer.pin, options_.store->CommitLayer(std::move(ready), layer.chain_id, parents, context_),
                   "layer ", layer.descriptor.digest.str());
  LayerStep("commit", layer, started_at, begin);
  layer.state = LayerState::kDone;
  return {};
}

// On a thread of the pull's own.
void PullOperation::FetchLayer(Layer& layer) {
  const int64_t started_at = base::UnixNanos();
  const base::TimePoint begin = base::Monotonic::now();
  base::Result<UnpackedLayer> unpacked = Unpack(layer);
  LayerStep("fetch", layer, started_at, begin);
  const bool failed = !unpacked;
  {
    const std::lock_guard lock(board_->mutex);
    if (failed && !cause_ && !context_.cancelled()) cause_ = unpacked.error();
    layer.unpacked = std::move(unpacked);
    board_->changed.notify_all();
  }
  if (failed) Cancel();  // one lost layer is the whole pull
}

base::Result<UnpackedLayer> PullOperation::Unpack(Layer& layer) {
  const std::string name = base::Cat("layer ", layer.descriptor.digest.str());
  RETURN_IF_ERROR(context_.Check(name));
  layer.state = LayerState::kTransferring;
  layer.fetched = true;
  while (true) {
    layer.done = 0;
    ASSIGN_OR_RETURN(const auto unpacker, options_.store->BeginLayer(context_), name);
    LayerSink sink(*unpacker, layer.done);
    const base::Status fetched = source_->FetchBlob(layer.descriptor, sink.sink(), context_);
    // An endpoint served something else: another one gets a fresh start.
    if (!fetched && !sink.failed() && fetched.error().code == Code::kUnknown && source_->TryAgain()) continue;
    RETURN_IF_ERROR(fetched, name);
    RETURN_IF_ERROR(sink.status(), name);
    ASSIGN_OR_RETURN(UnpackedLayer out, unpacker->Finish(context_), name);
    if (out.diff_id == layer.diff_id) return out;
    return base::Fail(Code::kInvalidArgument, name, ": its content has digest ", out.diff_id.str(),
                      ", the configuration says ", layer.diff_id.str());
  }
}

base::Error PullOperation::CauseOr(base::Error error) {
  const std::lock_guard lock(board_->mutex);
  return cause_ ? *cause_ : std::move(error);
}

void PullOperation::ReleaseClaims() {
  const std::lock_guard lock(board_->mutex);
  std::erase_if(board_->claims, [this](const auto& claim) { return claim.second == this; });
  board_->changed.notify_all();
}

}  // namespace berth::image
