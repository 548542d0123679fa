// A tar archive read in one pass, as its bytes arrive: no thread, no seeking, no buffer beyond one header.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/tar_header.h"

namespace berth::image {

struct TarEntry {
  enum class Type { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kFolder, kFifo };
  Type type = Type::kFile;
  std::string name;  // as written: may be absolute, contain ".." or be empty; never contains NUL
  std::string link;  // target of kHardLink and kSymlink, as written
  mode_t mode = 0;   // permission bits with setuid, setgid and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;  // of a kFile, holes included; 0 for everything else
  timespec mtime{};
  std::optional<timespec> atime;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// Begin, then for a file any number of Data, then End. An error ends the reading.
class TarSink {
 public:
  virtual ~TarSink() = default;
  virtual base::Status Begin(const TarEntry& entry) = 0;
  // In ascending order; what is left out is a hole. Never beyond entry.size.
  virtual base::Status Data(uint64_t offset, std::span<const uint8_t> bytes) = 0;
  virtual base::Status End() = 0;
};

// Reads v7, ustar, PAX and GNU archives (pax(1); GNU tar's manual, "Tar Internals"): long names and links, base-256
// numbers, negative times, SCHILY.xattr, LIBARCHIVE.xattr, old GNU sparse and GNU.sparse 0.0, 0.1 and 1.0. Global PAX
// headers are skipped. Two zero blocks end the archive, and so does its end between two entries; what follows the zero
// blocks is ignored. Any other type of entry and every malformed header is kInvalidArgument. Errors are final. Not
// thread-safe.
class TarReader {
 public:
  explicit TarReader(TarSink& sink) : sink_(sink) {}

  base::Status Write(std::span<const uint8_t> input);
  // The archive has ended. kInvalidArgument when it ended inside an entry.
  base::Status Finish() const;

 private:
  enum class State { kHeader, kMeta, kOldSparse, kSparseMap, kData, kPadding, kEnded };

  base::Status WriteBlocks(std::span<const uint8_t>& input);
  base::Status OnBlock(TarBlock block);
  base::Status OnHeader(TarBlock block);
  base::Status OnMetaBlock(TarBlock block);
  base::Status OnMetaComplete();
  base::Status OnOldSparseBlock(TarBlock block);
  base::Status OnSparseMapBlock(TarBlock block);
  base::Status WriteData(std::span<const uint8_t>& input);
  void WritePadding(std::span<const uint8_t>& input);

  base::Status ReadFields(TarBlock block, char type);
  base::Status ReadType(TarBlock block, char type);
  base::Status ApplyPax();
  base::Status BeginMeta(char type, int64_t size);
  base::Status BeginEntry();
  base::Status EndEntry();
  void StartOver();

  TarSink& sink_;
  State state_ = State::kHeader;
  std::array<uint8_t, kTarBlock> partial_{};
  size_t partial_size_ = 0;
  bool zero_block_ = false;
  bool first_ = true;  // nothing was read yet

  // Headers that describe the next entry.
  char meta_type_ = 0;
  std::string meta_;
  uint64_t meta_left_ = 0;
  bool described_ = false;
  PaxRecords pax_;
  std::optional<std::string> long_name_;
  std::optional<std::string> long_link_;

  TarEntry entry_;
  uint64_t stored_ = 0;  // bytes of this entry in the archive that are not read yet
  size_t padding_ = 0;
  std::vector<TarPiece> pieces_;
  size_t piece_ = 0;
  uint64_t piece_done_ = 0;
  std::string sparse_map_;
  size_t sparse_lines_ = 0;
};

}  // namespace berth::image
