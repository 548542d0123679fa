// A small file that owns its disk blocks from the moment it is made, so that it can be rewritten with no byte free.
//
// The file has two slots of the same capacity (a multiple of 4096 bytes), at the offsets 0 and `capacity`:
//
//   berth-slot 1 <capacity> <sequence> <length> <crc32c>\n
//   <length bytes of content>\n
//   blanks up to the slot's end, the last byte a newline
//
// The checksum covers the header's numbers and the content. Write() overwrites the older slot in place with the next
// sequence number; the intact slot with the highest sequence number is the content. Thus nothing is renamed, nothing is
// allocated, one fdatasync is enough, and a crash at any byte leaves the old content or the new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/result.h"

namespace berth::state {

// Keeps no descriptor open between calls. Not thread-safe. Every call blocks for disk writes.
class SlotFile {
 public:
  // Room that is kept beyond the content given to Create, at least, in each slot.
  static constexpr size_t kSlack = 1024;
  static constexpr size_t kMaxCapacity = 8 << 20;

  // Makes `path` (under "<path>.tmp" first) with mode 0600, or replaces it. The folder must exist. With kDurable its
  // data, its name and its folder's name are on disk afterwards. kResourceExhausted: no room, or content that fits no
  // record.
  static base::Result<SlotFile> Create(base::Path path, std::string_view content, base::Durability durability);

  // Opens what is there, and removes what a Create that was cut short left beside it. err ENOENT: there is no such
  // file. kInternal "damaged": neither slot is intact.
  static base::Result<SlotFile> Open(base::Path path);

  // kDurable is as for Create. After an error the content is still the old one (save that a folder could not be
  // synced). Content that outgrows the capacity makes a new, larger file in place of this one, which needs room:
  // kResourceExhausted leaves the old file valid.
  base::Status Write(std::string_view content, base::Durability durability);

  // As of the last Open, Create or successful Write.
  base::Result<std::string> Read() const;

  // Flushes what volatile writes left in memory.
  base::Status Sync();

  // Unlinks it. Already gone is success. The folder is synced with kDurable.
  base::Status Remove(base::Durability durability);

  const base::Path& path() const { return path_; }
  size_t capacity() const { return capacity_; }
  uint64_t sequence() const { return sequence_; }
  // Open() found the other slot damaged: a write was cut short, or the disk lies. The content may be the one before
  // last.
  bool recovered() const { return recovered_; }

 private:
  explicit SlotFile(base::Path path) : path_(std::move(path)) {}
  static base::Result<SlotFile> Make(base::Path path, std::string_view content, base::Durability durability);
  base::Status SyncName();

  base::Path path_;
  size_t capacity_ = 0;
  uint64_t sequence_ = 0;  // of the current slot; it lies at (sequence_ % 2) * capacity_
  bool recovered_ = false;
  bool name_synced_ = false;
};

}  // namespace berth::state
