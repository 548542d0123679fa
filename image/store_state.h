// What is behind Store, for the files that make it up: opening, use and repair.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/guarded.h"
#include "base/strings.h"
#include "image/retired_folders.h"
#include "image/shifted_layers.h"
#include "image/store.h"
#include "image/store_records.h"

namespace berth::image {

constexpr size_t kMaxRecordBytes = 32 << 20;  // a configuration of kMaxConfigBytes, escaped

inline std::string RecordName(std::string_view id) {
  return base::Cat(id.substr(id.find(':') + 1), ".json");
}

struct Store::State {
  struct Layer {
    uint64_t bytes = 0;
    uint64_t inodes = 0;
    size_t users = 0;   // pins, images and containers
    uint64_t made = 0;  // which of those that had this chain id, one after the other
  };
  struct Data {
    std::unordered_map<Digest, Layer> layers;
    std::map<std::string, ImagePtr> images;  // by id
    std::map<std::string, std::vector<Digest>> containers;
    RetiredFolders retired;
    uint64_t made = 0;
    std::shared_ptr<const ImageList> list = std::make_shared<ImageList>();
    StoreUsage usage;
    bool collecting = false;
  };

  explicit State(Options given) : options(std::move(given)) {}

  base::Status MakeFolders();
  void LoadLayers(Data& loading);
  void LoadImages(Data& loading);
  base::Result<LayerRecord> LoadLayer(const std::string& name) const;
  base::Result<ImageRecord> LoadImage(const Data& loading, const std::string& name) const;
  void TakeTags(Data& loading, const Image& image, std::map<std::string, uint64_t>& sequences);
  void Problem(const std::string& name, std::string what) { problems.push_back({name, std::move(what)}); }

  base::Path LayerPath(const Digest& chain_id) const { return folder_of_layers / chain_id.hex(); }
  base::Path NewTemporary() const { return tmp / base::RandomId(); }
  base::Status WriteRecord(const Image& image);

  static void Publish(Data& locked);
  static void AddUser(Data& locked, std::span<const Digest> chain_ids);
  static bool DropUser(Data& locked, std::span<const Digest> chain_ids);  // true when a layer has none left
  void Sweep();

  // Repair.
  ImagePtr Known(const std::string& id);
  // The images go with the layer; returns what its folder is called in `retired`.
  static std::string Forget(Data& locked, const Digest& chain_id, const std::vector<std::string>& images);
  void RemoveUnusedRetired();

  const Options options;
  const base::Path folder_of_layers = options.folder / "layers";
  const base::Path records = options.folder / "records";
  const base::Path tmp = options.folder / "tmp";
  const base::Path broken = options.folder / "broken";
  const base::Path retired = options.folder / "retired/layers";
  const base::Path empty = options.folder / "empty";
  std::vector<StoreProblem> problems;

  ShiftedLayers shifted{options.folder / "shifted", tmp, options.folder / "retired/shifted"};

  // Held over the few disk writes that make, change or remove a record or a layer's name, so that they reach the disk
  // in the order in which they become visible. Readers never take it.
  std::mutex changing;
  uint64_t sequence = 0;  // of the last record written
  base::Guarded<Data> data;
};

}  // namespace berth::image
