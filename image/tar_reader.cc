#include "image/tar_reader.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "base/strings.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;

namespace {

// Offsets and sizes of the fields (pax(1), "ustar Interchange Format").
constexpr size_t kName = 0, kNameSize = 100;
constexpr size_t kMode = 100, kUid = 108, kGid = 116, kSmallNumber = 8;
constexpr size_t kSize = 124, kMtime = 136, kBigNumber = 12;
constexpr size_t kType = 156;
constexpr size_t kLink = 157, kLinkSize = 100;
constexpr size_t kMajor = 329, kMinor = 337;
constexpr size_t kPrefix = 345, kPrefixSize = 155;
// Old GNU sparse headers.
constexpr size_t kSparse = 386, kSparseCount = 4, kSparseExtended = 482, kSparseRealSize = 483;
constexpr size_t kExtensionCount = 21, kExtensionExtended = 504;

constexpr uint64_t kMaxMetaBytes = 1 << 20;
constexpr size_t kMaxSparseMapBytes = 4 << 20;
constexpr std::string_view kNoArchive = "not an archive, or compressed with something else than gzip or zstd";

auto Malformed(std::string_view what) {
  return Fail(Code::kInvalidArgument, "tar: ", what);
}

size_t PaddingOf(uint64_t size) {
  return (kTarBlock - size % kTarBlock) % kTarBlock;
}

bool IsZero(TarBlock block) {
  return std::ranges::all_of(block, [](uint8_t byte) { return byte == 0; });
}

Result<uint32_t> Id(int64_t value) {
  // The last one means "leave it as it is" to chown.
  if (value < 0 || value >= std::numeric_limits<uint32_t>::max()) return Malformed("owner out of range");
  return static_cast<uint32_t>(value);
}

}  // namespace

Status TarReader::Write(std::span<const uint8_t> input) {
  while (!input.empty()) {
    switch (state_) {
      case State::kData:
        RETURN_IF_ERROR(WriteData(input));
        break;
      case State::kPadding:
        WritePadding(input);
        break;
      case State::kEnded:
        return {};
      default:
        RETURN_IF_ERROR(WriteBlocks(input));
    }
  }
  return {};
}

Status TarReader::Finish() const {
  const bool between = state_ == State::kHeader && partial_size_ == 0 && !described_;
  // umoci's "insert" ends its archives behind the last byte of content, and others read them.
  const bool whole = between || state_ == State::kEnded || state_ == State::kPadding;
  return whole ? Status() : Malformed(first_ && !described_ ? kNoArchive : "the archive ends inside an entry");
}

Status TarReader::WriteBlocks(std::span<const uint8_t>& input) {
  if (partial_size_ == 0 && input.size() >= kTarBlock) {
    const TarBlock block = input.first<kTarBlock>();
    input = input.subspan(kTarBlock);
    return OnBlock(block);
  }
  const size_t take = std::min(kTarBlock - partial_size_, input.size());
  std::copy_n(input.begin(), take, partial_.begin() + static_cast<ptrdiff_t>(partial_size_));
  partial_size_ += take;
  input = input.subspan(take);
  if (partial_size_ < kTarBlock) return {};
  partial_size_ = 0;
  return OnBlock(partial_);
}

Status TarReader::OnBlock(TarBlock block) {
  switch (state_) {
    case State::kMeta:
      return OnMetaBlock(block);
    case State::kOldSparse:
      return OnOldSparseBlock(block);
    case State::kSparseMap:
      return OnSparseMapBlock(block);
    default:
      return OnHeader(block);
  }
}

Status TarReader::OnHeader(TarBlock block) {
  if (IsZero(block)) {
    if (described_) return Malformed("the archive ends inside an entry");
    if (zero_block_) state_ = State::kEnded;
    zero_block_ = true;
    return {};
  }
  if (zero_block_) return Malformed("a zero block inside the archive");
  if (!TarChecksumIsRight(block)) {
    return Malformed(first_ ? kNoArchive : "wrong checksum of a header");
  }
  first_ = false;
  const char type = static_cast<char>(block[kType]);
  const auto size = TarNumber(block, kSize, kBigNumber);
  if (!size || *size < 0) return Malformed("bad size");
  if (type == 'x' || type == 'g' || type == 'L' || type == 'K') return BeginMeta(type, *size);
  stored_ = static_cast<uint64_t>(*size);
  RETURN_IF_ERROR(ReadFields(block, type));
  RETURN_IF_ERROR(ReadType(block, type));
  if (state_ == State::kOldSparse || state_ == State::kSparseMap) return {};
  return BeginEntry();
}

Status TarReader::BeginMeta(char type, int64_t size) {
  meta_type_ = type;
  meta_.clear();
  meta_left_ = static_cast<uint64_t>(size);
  // The content of a global header is skipped, so its size does not matter.
  if (type != 'g') {
    if (meta_left_ > kMaxMetaBytes) return Fail(Code::kResourceExhausted, "tar: a header of ", meta_left_, " bytes");
    described_ = true;
  }
  state_ = State::kMeta;
  return meta_left_ == 0 ? OnMetaComplete() : Status();
}

Status TarReader::OnMetaBlock(TarBlock block) {
  const auto take = static_cast<size_t>(std::min<uint64_t>(meta_left_, kTarBlock));
  if (meta_type_ != 'g') meta_.append(reinterpret_cast<const char*>(block.data()), take);
  meta_left_ -= take;
  return meta_left_ == 0 ? OnMetaComplete() : Status();
}

Status TarReader::OnMetaComplete() {
  state_ = State::kHeader;
  const std::string text = meta_.substr(0, meta_.find('\0'));
  if (meta_type_ == 'L') long_name_ = text;
  if (meta_type_ == 'K') long_link_ = text;
  if (meta_type_ == 'x') {
    ASSIGN_OR_RETURN(pax_, ParsePax(meta_), "tar");
  }
  return {};
}

Status TarReader::ReadFields(TarBlock block, char type) {
  entry_ = {};
  entry_.name = TarText(block, kName, kNameSize);
  entry_.link = TarText(block, kLink, kLinkSize);
  if (FormatOf(block) == TarFormat::kUstar) {
    const auto prefix = TarText(block, kPrefix, kPrefixSize);
    if (!prefix.empty()) entry_.name = base::Cat(prefix, '/', entry_.name);
  }
  const auto mode = TarNumber(block, kMode, kSmallNumber);
  const auto uid = TarNumber(block, kUid, kSmallNumber);
  const auto gid = TarNumber(block, kGid, kSmallNumber);
  const auto mtime = TarNumber(block, kMtime, kBigNumber);
  if (!mode || *mode < 0 || !uid || !gid || !mtime) return Malformed("bad number in a header");
  entry_.mode = static_cast<mode_t>(*mode & 07777);
  entry_.mtime.tv_sec = *mtime;
  ASSIGN_OR_RETURN(entry_.uid, Id(pax_.uid.value_or(*uid)));
  ASSIGN_OR_RETURN(entry_.gid, Id(pax_.gid.value_or(*gid)));
  if (type == '3' || type == '4') {
    const auto major = TarNumber(block, kMajor, kSmallNumber);
    const auto minor = TarNumber(block, kMinor, kSmallNumber);
    if (!major || !minor) return Malformed("bad device number");
    ASSIGN_OR_RETURN(entry_.device_major, Id(*major));
    ASSIGN_OR_RETURN(entry_.device_minor, Id(*minor));
  }
  return ApplyPax();
}

Status TarReader::ApplyPax() {
  if (pax_.path) entry_.name = *std::move(pax_.path);
  if (pax_.link) entry_.link = *std::move(pax_.link);
  if (long_name_) entry_.name = *std::move(long_name_);
  if (long_link_) entry_.link = *std::move(long_link_);
  if (pax_.mtime) entry_.mtime = *pax_.mtime;
  if (pax_.size) stored_ = static_cast<uint64_t>(*pax_.size);
  entry_.atime = pax_.atime;
  entry_.xattrs = std::move(pax_.xattrs);
  return {};
}

Status TarReader::ReadType(TarBlock block, char type) {
  using Type = TarEntry::Type;
  pieces_.clear();
  switch (type) {
    case '\0':
    case '0':
    case '7':
    case 'S':
      entry_.type = type == '\0' && entry_.name.ends_with('/') ? Type::kFolder : Type::kFile;
      break;
    case '1':
      entry_.type = Type::kHardLink;
      break;
    case '2':
      entry_.type = Type::kSymlink;
      break;
    case '3':
      entry_.type = Type::kCharDevice;
      break;
    case '4':
      entry_.type = Type::kBlockDevice;
      break;
    case '5':
      entry_.type = Type::kFolder;
      break;
    case '6':
      entry_.type = Type::kFifo;
      break;
    default:
      return Fail(Code::kInvalidArgument, "tar: entry ", entry_.name, " has unknown type ", static_cast<int>(type));
  }
  if (entry_.type != Type::kFile) {
    stored_ = 0;  // whatever the header says: such entries have no content
    return {};
  }
  entry_.size = stored_;
  padding_ = PaddingOf(stored_);
  if (type == 'S') {
    const auto real_size = TarNumber(block, kSparseRealSize, kBigNumber);
    if (!real_size || *real_size < 0) return Malformed("bad size of a sparse file");
    entry_.size = static_cast<uint64_t>(*real_size);
    RETURN_IF_ERROR(AppendOldGnuPieces(block, kSparse, kSparseCount, pieces_), "tar");
    if (block[kSparseExtended] != 0) state_ = State::kOldSparse;
    if (pieces_.empty()) pieces_.push_back({});
    return {};
  }
  if (pax_.sparse_name) entry_.name = *std::move(pax_.sparse_name);
  const bool with_map = pax_.sparse_major.value_or(0) == 1 && pax_.sparse_minor.value_or(0) == 0;
  if (!with_map && pax_.pieces.empty() && !pax_.sparse_size) return {};
  if (pax_.sparse_major.value_or(0) > 1 || !pax_.sparse_size) return Malformed("unknown kind of sparse file");
  entry_.size = static_cast<uint64_t>(*pax_.sparse_size);
  pieces_ = std::move(pax_.pieces);
  if (pieces_.empty()) pieces_.push_back({});
  if (with_map) {
    sparse_map_.clear();
    sparse_lines_ = 0;
    state_ = State::kSparseMap;
  }
  return {};
}

Status TarReader::OnOldSparseBlock(TarBlock block) {
  RETURN_IF_ERROR(AppendOldGnuPieces(block, 0, kExtensionCount, pieces_), "tar");
  if (block[kExtensionExtended] != 0) return {};
  return BeginEntry();
}

// "count\noffset\nsize\n...", padded to a block: the map comes first in the content (GNU tar's manual, "PAX Format,
// Version 1.0").
Status TarReader::OnSparseMapBlock(TarBlock block) {
  if (stored_ < kTarBlock) return Malformed("bad sparse map");
  stored_ -= kTarBlock;
  sparse_map_.append(reinterpret_cast<const char*>(block.data()), kTarBlock);
  if (sparse_map_.size() > kMaxSparseMapBytes) return Fail(Code::kResourceExhausted, "tar: too many sparse pieces");

  sparse_lines_ += static_cast<size_t>(std::ranges::count(block, '\n'));
  if (sparse_lines_ == 0) return {};

  const std::string_view text = sparse_map_;
  const auto count = base::ParseInt(text.substr(0, text.find('\n')));
  if (!count || *count < 0) return Malformed("bad sparse map");
  if (static_cast<uint64_t>(*count) > kMaxTarPieces)
    return Fail(Code::kResourceExhausted, "tar: too many sparse pieces");
  const auto wanted = static_cast<size_t>(2 * *count + 1);
  if (sparse_lines_ < wanted) return {};

  pieces_.clear();
  const auto lines = base::Split(text, '\n');
  for (size_t i = 1; i < wanted; i += 2) {
    const auto offset = base::ParseInt(lines[i]);
    const auto size = base::ParseInt(lines[i + 1]);
    if (!offset || !size || *offset < 0 || *size < 0) return Malformed("bad sparse map");
    pieces_.push_back({static_cast<uint64_t>(*offset), static_cast<uint64_t>(*size)});
  }
  if (pieces_.empty()) pieces_.push_back({});
  return BeginEntry();
}

Status TarReader::BeginEntry() {
  if (pieces_.empty()) {
    pieces_.push_back({0, stored_});
  } else {
    RETURN_IF_ERROR(CheckPieces(pieces_, entry_.size, stored_), "tar: ", entry_.name);
  }
  if (entry_.size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Malformed("bad size");
  piece_ = 0;
  piece_done_ = 0;
  RETURN_IF_ERROR(sink_.Begin(entry_));
  if (stored_ > 0) {
    state_ = State::kData;
    return {};
  }
  return EndEntry();
}

Status TarReader::WriteData(std::span<const uint8_t>& input) {
  while (piece_done_ == pieces_[piece_].size) {
    ++piece_;
    piece_done_ = 0;
  }
  const TarPiece& piece = pieces_[piece_];
  const auto take = static_cast<size_t>(std::min<uint64_t>(piece.size - piece_done_, input.size()));
  RETURN_IF_ERROR(sink_.Data(piece.offset + piece_done_, input.first(take)));
  input = input.subspan(take);
  piece_done_ += take;
  stored_ -= take;
  return stored_ == 0 ? EndEntry() : Status();
}

Status TarReader::EndEntry() {
  RETURN_IF_ERROR(sink_.End());
  StartOver();
  return {};
}

void TarReader::StartOver() {
  state_ = entry_.type == TarEntry::Type::kFile && padding_ > 0 ? State::kPadding : State::kHeader;
  described_ = false;
  pax_ = {};
  long_name_.reset();
  long_link_.reset();
}

void TarReader::WritePadding(std::span<const uint8_t>& input) {
  const size_t take = std::min(padding_, input.size());
  padding_ -= take;
  input = input.subspan(take);
  if (padding_ == 0) state_ = State::kHeader;
}

}  // namespace berth::image
