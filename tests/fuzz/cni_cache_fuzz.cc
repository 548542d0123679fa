// Files of the attachment cache, of this and other daemons: torn or strange ones must not keep DEL from being tried.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file.h"
#include "network/attachment_cache.h"

namespace {

using berth::base::Path;

const Path& Folder() {
  // Never destroyed: removed at exit, when local statics may be gone already.
  static const Path* const folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "berth-fuzz-XXXXXX").native();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    std::atexit([] { (void)berth::base::RemoveTree(Folder()); });
    return new Path(name);
  }();
  return *folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!berth::base::WriteFile(Folder() / "pods-abc-eth0", text)) std::abort();
  const berth::network::AttachmentCache cache(Folder());
  const auto found = cache.Find("abc", "pods");
  if (!found || found->size() != 1) std::abort();
  if (!cache.Put(found->front(), berth::base::Durability::kVolatile)) std::abort();
  const auto again = cache.Find("abc", "pods");
  if (!again || again->size() != 1 || again->front().config != found->front().config) std::abort();
  return 0;
}
