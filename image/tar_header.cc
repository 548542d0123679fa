#include "image/tar_header.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/strings.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;

namespace {

constexpr size_t kChecksumOffset = 148;
constexpr size_t kChecksumSize = 8;
constexpr size_t kMagicOffset = 257;
constexpr size_t kMaxXattrs = 1024;  // far more than a file system keeps of one file

std::optional<int64_t> Base256(std::span<const uint8_t> field) {
  // Two's complement, big endian, in all bits but the top one.
  const bool negative = (field[0] & 0x40) != 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = field[i];
    if (i == 0) byte = negative ? byte | 0x80 : byte & 0x7f;
    // The bits that are pushed out must all repeat the sign.
    const auto lost = static_cast<uint8_t>(value >> 56);
    if (lost != (negative ? 0xff : 0)) return std::nullopt;
    value = value << 8 | byte;
  }
  const auto result = static_cast<int64_t>(value);
  if ((result < 0) != negative) return std::nullopt;
  return result;
}

bool IsFiller(char c) {
  return c == ' ' || c == '\0';
}

Status PaxError(std::string_view key) {
  return Fail(Code::kInvalidArgument, "PAX header: bad value of ", key);
}

bool HasNul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

// Undoes the percent encoding that libarchive uses for attribute names.
std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint8_t byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3) {
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// libarchive leaves the padding out.
std::optional<std::string> UnpaddedBase64(std::string_view text) {
  std::string padded(text);
  while (padded.size() % 4 != 0) padded.push_back('=');
  return base::Base64Decode(padded);
}

Status SetNumber(std::optional<int64_t>& out, std::string_view key, std::string_view value) {
  out = base::ParseInt(value);
  return out && *out >= 0 ? Status() : PaxError(key);
}

Status SetText(std::optional<std::string>& out, std::string_view key, std::string_view value) {
  if (HasNul(value)) return PaxError(key);
  out = std::string(value);
  return {};
}

Status SetTime(std::optional<timespec>& out, std::string_view key, std::string_view value) {
  out = ParsePaxTime(value);
  return out ? Status() : PaxError(key);
}

Status AddXattr(PaxRecords& records, std::string_view key, std::string name, std::string value) {
  if (name.empty() || HasNul(name)) return PaxError(key);
  if (records.xattrs.size() >= kMaxXattrs)
    return Fail(Code::kResourceExhausted, "PAX header: more than ", kMaxXattrs, " attributes");
  // A later record replaces an earlier one of the same name.
  std::erase_if(records.xattrs, [&](const auto& pair) { return pair.first == name; });
  records.xattrs.emplace_back(std::move(name), std::move(value));
  return {};
}

Status ApplySparse(PaxRecords& records, std::string_view key, std::string_view value) {
  std::optional<int64_t> number;
  if (key == "GNU.sparse.name") return SetText(records.sparse_name, key, value);
  if (key == "GNU.sparse.major") return SetNumber(records.sparse_major, key, value);
  if (key == "GNU.sparse.minor") return SetNumber(records.sparse_minor, key, value);
  if (key == "GNU.sparse.size" || key == "GNU.sparse.realsize") return SetNumber(records.sparse_size, key, value);
  if (key == "GNU.sparse.map") {
    ASSIGN_OR_RETURN(records.pieces, ParsePieceList(value));
    return {};
  }
  if (key == "GNU.sparse.offset") {
    RETURN_IF_ERROR(SetNumber(number, key, value));
    if (records.pieces.size() >= kMaxTarPieces) return PaxError(key);
    records.pieces.push_back({static_cast<uint64_t>(*number), 0});
    return {};
  }
  if (key == "GNU.sparse.numbytes") {
    RETURN_IF_ERROR(SetNumber(number, key, value));
    if (records.pieces.empty()) return PaxError(key);
    records.pieces.back().size = static_cast<uint64_t>(*number);
  }
  return {};
}

Status Apply(PaxRecords& records, std::string_view key, std::string_view value) {
  constexpr std::string_view kSchily = "SCHILY.xattr.";
  constexpr std::string_view kLibarchive = "LIBARCHIVE.xattr.";
  if (key == "path") return SetText(records.path, key, value);
  if (key == "linkpath") return SetText(records.link, key, value);
  if (key == "size") return SetNumber(records.size, key, value);
  if (key == "uid") return SetNumber(records.uid, key, value);
  if (key == "gid") return SetNumber(records.gid, key, value);
  if (key == "mtime") return SetTime(records.mtime, key, value);
  if (key == "atime") return SetTime(records.atime, key, value);
  if (key.starts_with(kSchily)) {
    return AddXattr(records, key, std::string(key.substr(kSchily.size())), std::string(value));
  }
  if (key.starts_with(kLibarchive)) {
    auto decoded = UnpaddedBase64(value);
    if (!decoded) return PaxError(key);
    return AddXattr(records, key, PercentDecoded(key.substr(kLibarchive.size())), *std::move(decoded));
  }
  if (key.starts_with("GNU.sparse.")) return ApplySparse(records, key, value);
  return {};
}

}  // namespace

std::string_view TarText(TarBlock block, size_t offset, size_t size) {
  const auto* begin = reinterpret_cast<const char*>(block.data()) + offset;
  return {begin, strnlen(begin, size)};
}

std::optional<int64_t> TarNumber(TarBlock block, size_t offset, size_t size) {
  const auto field = block.subspan(offset, size);
  if ((field[0] & 0x80) != 0) return Base256(field);
  std::string_view text(reinterpret_cast<const char*>(field.data()), size);
  while (!text.empty() && IsFiller(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsFiller(text.back())) text.remove_suffix(1);
  // Some writers leave garbage after the terminator.
  text = text.substr(0, std::ranges::find_if(text, IsFiller) - text.begin());
  if (text.empty()) return 0;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool TarChecksumIsRight(TarBlock block) {
  const auto wanted = TarNumber(block, kChecksumOffset, kChecksumSize);
  // Old writers summed signed characters.
  int64_t plain = 0;
  int64_t with_sign = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const bool in_field = i >= kChecksumOffset && i < kChecksumOffset + kChecksumSize;
    const uint8_t byte = in_field ? ' ' : block[i];
    plain += byte;
    with_sign += static_cast<int8_t>(byte);
  }
  return wanted && (*wanted == plain || *wanted == with_sign);
}

TarFormat FormatOf(TarBlock block) {
  const std::string_view magic(reinterpret_cast<const char*>(block.data()) + kMagicOffset, 8);
  if (magic == std::string_view("ustar  \0", 8)) return TarFormat::kGnu;
  return magic.starts_with("ustar") ? TarFormat::kUstar : TarFormat::kV7;
}

Status AppendOldGnuPieces(TarBlock block, size_t offset, size_t count, std::vector<TarPiece>& pieces) {
  constexpr size_t kNumber = 12;
  for (size_t i = 0; i < count; ++i, offset += 2 * kNumber) {
    if (block[offset] == 0) return {};
    const auto at = TarNumber(block, offset, kNumber);
    const auto size = TarNumber(block, offset + kNumber, kNumber);
    if (!at || !size || *at < 0 || *size < 0) return Fail(Code::kInvalidArgument, "bad sparse map");
    if (pieces.size() >= kMaxTarPieces) return Fail(Code::kResourceExhausted, "too many sparse pieces");
    pieces.push_back({static_cast<uint64_t>(*at), static_cast<uint64_t>(*size)});
  }
  return {};
}

Result<std::vector<TarPiece>> ParsePieceList(std::string_view text) {
  std::vector<TarPiece> pieces;
  if (text.empty()) return pieces;
  const auto numbers = base::Split(text, ',');
  if (numbers.size() % 2 != 0) return Fail(Code::kInvalidArgument, "bad sparse map");
  if (numbers.size() / 2 > kMaxTarPieces) return Fail(Code::kResourceExhausted, "too many sparse pieces");
  for (size_t i = 0; i < numbers.size(); i += 2) {
    const auto at = base::ParseInt(numbers[i]);
    const auto size = base::ParseInt(numbers[i + 1]);
    if (!at || !size || *at < 0 || *size < 0) return Fail(Code::kInvalidArgument, "bad sparse map");
    pieces.push_back({static_cast<uint64_t>(*at), static_cast<uint64_t>(*size)});
  }
  return pieces;
}

Status CheckPieces(std::span<const TarPiece> pieces, uint64_t size, uint64_t stored) {
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const TarPiece& piece : pieces) {
    if (piece.offset < end || piece.offset > size || piece.size > size - piece.offset) {
      return Fail(Code::kInvalidArgument, "bad sparse map");
    }
    end = piece.offset + piece.size;
    sum += piece.size;
  }
  return sum == stored ? Status() : Fail(Code::kInvalidArgument, "bad sparse map");
}

Result<PaxRecords> ParsePax(std::string_view text) {
  PaxRecords records;
  // "<length> <key>=<value>\n", the length counting itself and the newline.
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    const auto length = base::ParseInt(text.substr(0, blank));
    if (blank == std::string_view::npos || !length || *length <= static_cast<int64_t>(blank) + 1 ||
        static_cast<uint64_t>(*length) > text.size() || text[static_cast<size_t>(*length) - 1] != '\n') {
      return Fail(Code::kInvalidArgument, "PAX header: bad record");
    }
    const auto record = text.substr(blank + 1, static_cast<size_t>(*length) - blank - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return Fail(Code::kInvalidArgument, "PAX header: bad record");
    const std::string_view value = record.substr(equals + 1);
    // "If the <value> field is zero length, it shall delete any header block field": what the header says counts.
    const std::string_view key = record.substr(0, equals);
    if (!value.empty() || key.starts_with("SCHILY.xattr.")) RETURN_IF_ERROR(Apply(records, key, value));
    text.remove_prefix(static_cast<size_t>(*length));
  }
  return records;
}

std::optional<timespec> ParsePaxTime(std::string_view text) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const auto seconds = base::ParseInt(whole);
  if (!seconds) return std::nullopt;
  timespec time{.tv_sec = *seconds, .tv_nsec = 0};
  if (dot == std::string_view::npos) return time;
  std::string digits(text.substr(dot + 1));
  if (!std::ranges::all_of(digits, [](unsigned char c) { return std::isdigit(c) != 0; })) return std::nullopt;
  digits.resize(9, '0');
  time.tv_nsec = base::ParseInt(digits).value_or(0);
  if (whole.starts_with('-') && time.tv_nsec > 0) {
    if (time.tv_sec == std::numeric_limits<int64_t>::min()) return std::nullopt;
    // -1.25 is 0.75 after -2.
    time.tv_sec -= 1;
    time.tv_nsec = 1'000'000'000 - time.tv_nsec;
  }
  return time;
}

}  // namespace berth::image
