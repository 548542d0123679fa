// The parts of tar headers: numbers, checksums, PAX records, sparse maps (pax(1); GNU tar's manual, "Tar Internals").
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::image {

inline constexpr size_t kTarBlock = 512;
using TarBlock = std::span<const uint8_t, kTarBlock>;

// A piece of a sparse file's data; what lies between pieces is a hole.
struct TarPiece {
  uint64_t offset = 0;
  uint64_t size = 0;
};
inline constexpr size_t kMaxTarPieces = 100'000;

// The text of a field, up to its first NUL.
std::string_view TarText(TarBlock block, size_t offset, size_t size);
// Octal with blanks or NULs around, or base-256 with the top bit set. Nothing for anything else. Empty is 0.
std::optional<int64_t> TarNumber(TarBlock block, size_t offset, size_t size);
bool TarChecksumIsRight(TarBlock block);

enum class TarFormat { kV7, kUstar, kGnu };
TarFormat FormatOf(TarBlock block);

// Old GNU sparse pieces: `count` pairs of 12-byte numbers. Stops at an empty one.
base::Status AppendOldGnuPieces(TarBlock block, size_t offset, size_t count, std::vector<TarPiece>& pieces);
// "offset,size,offset,size" (GNU.sparse.map of format 0.1).
base::Result<std::vector<TarPiece>> ParsePieceList(std::string_view text);
// In order, not overlapping, within `size`, adding up to `stored`.
base::Status CheckPieces(std::span<const TarPiece> pieces, uint64_t size, uint64_t stored);

// What a PAX extended header says about the next entry.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<int64_t> size;
  std::optional<int64_t> uid;
  std::optional<int64_t> gid;
  std::optional<timespec> mtime;
  std::optional<timespec> atime;
  std::vector<std::pair<std::string, std::string>> xattrs;
  // GNU sparse formats.
  std::optional<int64_t> sparse_major;
  std::optional<int64_t> sparse_minor;
  std::optional<int64_t> sparse_size;
  std::optional<std::string> sparse_name;
  std::vector<TarPiece> pieces;
};
base::Result<PaxRecords> ParsePax(std::string_view text);

// Decimal seconds with a fraction, perhaps negative.
std::optional<timespec> ParsePaxTime(std::string_view text);

}  // namespace berth::image
