// The record of each ADD, in libcni's "cniCacheV1" format, so that DEL undoes what was done and not what is configured
// now.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::network {

struct CachedAttachment {
  std::string sandbox_id;
  std::string network;  // name of the list
  std::string config;   // ConfigList::text; empty in files of the old format, which hold a result alone
  std::string netns;
  std::string args;             // CNI_ARGS
  std::string capability_args;  // JSON object
  std::string result;           // JSON object; empty while ADD runs or after it was cut short
};

// Files `<folder>/<network>-<sandbox id>-eth0`, mode 0600. Thread-safe: different sandboxes are different files.
class AttachmentCache {
 public:
  explicit AttachmentCache(base::Path folder) : folder_(std::move(folder)) {}

  base::Status Put(const CachedAttachment& attachment, base::Durability durability) const;
  // All of one sandbox; empty when there is none. `network` is looked up first, the folder is listed only when that
  // file is absent. A torn file counts as one with nothing but its names.
  base::Result<std::vector<CachedAttachment>> Find(std::string_view sandbox_id, std::string_view network) const;
  base::Result<std::vector<CachedAttachment>> List() const;
  base::Status Remove(const CachedAttachment& attachment) const;  // already gone is success
  // What a Put left that was killed in the middle. While nobody puts.
  base::Status RemoveTorn() const;
  bool Has(std::string_view sandbox_id, std::string_view network) const;

 private:
  base::Path File(std::string_view network, std::string_view sandbox_id) const;
  base::Path folder_;
};

}  // namespace berth::network
