// Pulls of what is no container image.
#include "base/strings.h"
#include "base/time.h"
#include "image/artifact.h"
#include "image/layer_sink.h"
#include "image/pull_operation.h"

namespace berth::image {
namespace {

using base::Code;
using base::Status;

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

base::Result<PullResult> PullOperation::BringArtifact(const Resolved& top, const Selected& selected) {
  const std::string& name = local_.shown;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, FileNames(selected.manifest), name);
  auto layer = std::make_shared<Layer>();
  layer->descriptor.digest = selected.digest;
  layer->descriptor.size = selected.manifest.LayerBytes();
  layer->state = LayerState::kTransferring;
  layer->fetched = true;
  layers_.push_back(layer);
  shown_.With([&](Shown& shown) { shown.layers = layers_; });
  SetStage("layers");
  ASSIGN_OR_RETURN(UnpackedLayer unpacked, UnpackArtifact(*layer, selected.manifest, names), name);
  SetStage("commit");
  const Digest diff_id = unpacked.diff_id;
  ASSIGN_OR_RETURN(layer->pin, options_.store->CommitLayer(std::move(unpacked), diff_id, {}, context_), name);
  layer->state = LayerState::kDone;
  Image image;
  image.config_json = ArtifactConfig(selected.digest, diff_id, options_.platform);
  image.manifest_digest = selected.digest;
  image.size = static_cast<uint64_t>(selected.manifest.LayerBytes()) + image.config_json.size();
  return Record(top, std::move(image));
}

base::Result<UnpackedLayer> PullOperation::UnpackArtifact(Layer& layer, const Manifest& manifest,
                                                          const std::vector<std::string>& names) {
  while (true) {
    layer.done = 0;
    ASSIGN_OR_RETURN(const auto unpacker, options_.store->BeginLayer(context_));
    LayerSink sink(*unpacker, layer.done);
    Status fetched;
    for (size_t i = 0; i < names.size() && fetched; ++i) {
      const Descriptor& blob = manifest.layers[i];
      RETURN_IF_ERROR(unpacker->Write(BytesOf(FileHeader(names[i], blob.size))));
      fetched = blob.data.empty() ? source_->FetchBlob(blob, sink.sink(), context_) : sink.Take(BytesOf(blob.data));
      if (fetched) RETURN_IF_ERROR(unpacker->Write(BytesOf(FilePadding(blob.size))));
    }
    // An endpoint served something else: another one gets a fresh start.
    if (!fetched && !sink.failed() && fetched.error().code == Code::kUnknown && source_->TryAgain()) continue;
    RETURN_IF_ERROR(fetched);
    RETURN_IF_ERROR(sink.status());
    RETURN_IF_ERROR(unpacker->Write(BytesOf(ArchiveEnd())));
    return unpacker->Finish(context_);
  }
}

}  // namespace berth::image
