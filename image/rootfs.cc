#include "image/rootfs.h"

#include <sys/stat.h>

#include <cerrno>

#include "image/layer_xattr.h"

namespace berth::image {

using base::Path;
using base::Result;
using base::Status;

Result<std::vector<Path>> LowerDirs(const Store& store, const Image& image, const Path& seen) {
  std::vector<Path> folders;
  for (auto chain_id = image.chain_ids.rbegin(); chain_id != image.chain_ids.rend(); ++chain_id) {
    ASSIGN_OR_RETURN(Path folder, store.LayerFolder(*chain_id), "image ", image.id);
    folders.push_back(std::move(folder));
    if (IsOpaque(folders.back().native())) break;
  }
  if (folders.empty()) folders.push_back(store.empty_folder());
  const Path own = store.empty_folder().parent_path();
  for (Path& folder : folders) {
    if (!seen.empty()) folder = seen / folder.lexically_relative(own);
  }
  return folders;
}

Result<std::vector<Path>> ShiftedLowerDirs(Store& store, const Image& image, const kernel::UserMap& map,
                                           const std::string& user, const base::Context& context) {
  std::vector<Path> folders;
  for (auto chain_id = image.chain_ids.rbegin(); chain_id != image.chain_ids.rend(); ++chain_id) {
    ASSIGN_OR_RETURN(const Path own, store.LayerFolder(*chain_id), "image ", image.id);
    ASSIGN_OR_RETURN(Path copy, store.shifted().Acquire(*chain_id, own.parent_path(), map, user, context), "image ",
                     image.id);
    folders.push_back(std::move(copy));
    if (IsOpaque(own.native())) break;
  }
  if (folders.empty()) folders.push_back(store.empty_folder());
  return folders;
}

Status PrepareUpper(const Path& upper, const Path& top_lower) {
  RETURN_IF_ERROR(CopyMetadata(top_lower.native(), upper.native()), "prepare upper folder");
  return {};
}

}  // namespace berth::image
