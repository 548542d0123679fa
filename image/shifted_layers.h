// Copies of layers with the owners of a pod's user namespace, for kernels and file systems that cannot show them so.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/digest.h"
#include "image/retired_folders.h"
#include "kernel/user_namespace.h"

namespace berth::image {

struct StoreUsage {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

// A map as a part of a copy's name.
std::string OwnersText(const kernel::UserMap& map);

// <chain hex>.<owners>/{layer.json,diff/}, complete and flushed as soon as it is visible. A copy is made when the first
// container needs it, shared by all with the same map, and removed with the last of them. Thread-safe; two who make the
// same copy at once both work, and the later one's is dropped.
class ShiftedLayers {
 public:
  ShiftedLayers(base::Path folder, base::Path tmp, base::Path retired)
      : folder_(std::move(folder)), tmp_(std::move(tmp)), retired_(std::move(retired)) {}

  using Report = std::function<void(const std::string& name, std::string what)>;
  // Takes up what is there. What is broken is taken away and told; an error means that the folder cannot be used.
  base::Status Open(const Report& report);

  // The copy's "diff", made unless it is there, kept for `user` until Unref. `layer` is the layer's own folder.
  base::Result<base::Path> Acquire(const Digest& chain_id, const base::Path& layer, const kernel::UserMap& map,
                                   const std::string& user, const base::Context& context);
  // After a restart: `user` uses the copies of these layers with these owners, as far as they are there.
  void Ref(const std::string& user, std::span<const Digest> chain_ids, std::string_view owners);
  void Unref(const std::string& user);
  // From now on what nobody uses is removed.
  void Collect();

  StoreUsage Usage() const;
  struct Copy {
    std::string name;
    Digest chain_id;
    base::Path diff;
  };
  std::vector<Copy> List() const;
  bool Has(const std::string& name) const;
  // Takes a broken copy away: the next container gets a new one, those that have it mounted keep what is left of it.
  // One that is gone is success.
  base::Status Retire(const std::string& name);
  // Names in the folder that are no copy's; with `remove` they are taken away.
  base::Result<std::vector<std::string>> Strays(bool remove);

 private:
  struct Kept {
    Digest chain_id;
    StoreUsage usage;
    size_t users = 0;
  };
  struct Data {
    std::map<std::string, Kept> copies;
    std::map<std::string, std::vector<std::string>> users;  // names of copies, one for each use
    RetiredFolders retired;
    bool collecting = false;
  };
  static bool Use(Data& data, const std::string& name, const std::string& user);
  base::Path Diff(const std::string& name) const { return folder_ / name / "diff"; }
  base::Result<Kept> Load(const std::string& name) const;
  void Sweep();
  void RemoveUnusedRetired();

  const base::Path folder_;
  const base::Path tmp_;
  const base::Path retired_;
  std::mutex changing_;  // over the renames that make a copy visible or take it away
  mutable base::Guarded<Data> data_;
};

}  // namespace berth::image
