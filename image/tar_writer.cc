#include "image/tar_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/strings.h"

namespace berth::image {
namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr uint64_t kMaxOctal7 = 07777777;
constexpr uint64_t kMaxOctal11 = 077777777777;
constexpr size_t kNameRoom = 100;

char TypeOf(TarEntry::Type type) {
  switch (type) {
    case TarEntry::Type::kFile:
      return '0';
    case TarEntry::Type::kHardLink:
      return '1';
    case TarEntry::Type::kSymlink:
      return '2';
    case TarEntry::Type::kCharDevice:
      return '3';
    case TarEntry::Type::kBlockDevice:
      return '4';
    case TarEntry::Type::kFolder:
      return '5';
    case TarEntry::Type::kFifo:
      return '6';
  }
  return '0';
}

// "<length> <key>=<value>\n", where the length counts itself.
void AppendRecord(std::string& out, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (length != rest + std::to_string(length).size()) length = rest + std::to_string(length).size();
  out += base::Cat(length, " ", key, "=", value, "\n");
}

// What ustar's fields cannot hold.
std::string PaxOf(const TarEntry& entry, std::string_view name) {
  std::string out;
  if (name.size() > kNameRoom) AppendRecord(out, "path", name);
  if (entry.link.size() > kNameRoom) AppendRecord(out, "linkpath", entry.link);
  if (entry.size > kMaxOctal11) AppendRecord(out, "size", std::to_string(entry.size));
  if (entry.uid > kMaxOctal7) AppendRecord(out, "uid", std::to_string(entry.uid));
  if (entry.gid > kMaxOctal7) AppendRecord(out, "gid", std::to_string(entry.gid));
  // Before 1970 a fraction would count towards zero in decimals; whole seconds are exact enough there.
  if (entry.mtime.tv_sec < 0) {
    AppendRecord(out, "mtime", std::to_string(entry.mtime.tv_sec));
  } else if (entry.mtime.tv_nsec != 0) {
    std::string fraction = std::to_string(entry.mtime.tv_nsec);
    fraction.insert(0, 9 - fraction.size(), '0');
    AppendRecord(out, "mtime", base::Cat(entry.mtime.tv_sec, ".", fraction));
  }
  for (const auto& [key, value] : entry.xattrs) AppendRecord(out, "SCHILY.xattr." + key, value);
  return out;
}

void PutOctal(std::string& header, size_t at, size_t room, uint64_t value) {
  for (size_t i = room - 1; i-- > 0; value >>= 3) header[at + i] = static_cast<char>('0' + (value & 7));
}

uint64_t Fitting(uint64_t value, uint64_t most) {
  return value <= most ? value : 0;
}

}  // namespace

base::Status TarWriter::Flush() {
  RETURN_IF_ERROR(base::WriteAll(file_, buffer_, what_));
  buffer_.clear();
  return {};
}

base::Status TarWriter::Write(std::string_view bytes) {
  buffer_ += bytes;
  bytes_ += bytes.size();
  if (buffer_.size() < kBuffer) return {};
  return Flush();
}

base::Status TarWriter::Pad() {
  return Write(std::string((kTarBlock - bytes_ % kTarBlock) % kTarBlock, '\0'));
}

base::Status TarWriter::WriteHeader(const TarEntry& entry, char type, std::string_view name, uint64_t size) {
  std::string header(kTarBlock, '\0');
  const auto put = [&](size_t at, size_t room, std::string_view text) {
    std::memcpy(header.data() + at, text.data(), std::min(room, text.size()));
  };
  put(0, kNameRoom, name);
  PutOctal(header, 100, 8, entry.mode);
  PutOctal(header, 108, 8, Fitting(entry.uid, kMaxOctal7));
  PutOctal(header, 116, 8, Fitting(entry.gid, kMaxOctal7));
  PutOctal(header, 124, 12, Fitting(size, kMaxOctal11));
  PutOctal(header, 136, 12, entry.mtime.tv_sec < 0 ? 0 : static_cast<uint64_t>(entry.mtime.tv_sec) & kMaxOctal11);
  put(148, 8, "        ");
  header[156] = type;
  put(157, kNameRoom, entry.link);
  put(257, 8, std::string_view("ustar\00000", 8));
  PutOctal(header, 329, 8, entry.device_major);
  PutOctal(header, 337, 8, entry.device_minor);
  uint64_t sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  PutOctal(header, 148, 7, sum);
  header[154] = '\0';
  return Write(header);
}

base::Status TarWriter::Add(const TarEntry& entry) {
  std::string name = entry.name;
  if (entry.type == TarEntry::Type::kFolder) name += '/';
  if (const std::string pax = PaxOf(entry, name); !pax.empty()) {
    TarEntry header;
    header.mode = 0600;
    RETURN_IF_ERROR(WriteHeader(header, 'x', "PaxHeader", pax.size()));
    RETURN_IF_ERROR(Write(pax));
    RETURN_IF_ERROR(Pad());
  }
  return WriteHeader(entry, TypeOf(entry.type), name, entry.size);
}

base::Status TarWriter::AddFile(const TarEntry& entry, int source) {
  RETURN_IF_ERROR(Add(entry));
  std::string piece(kBuffer, '\0');
  for (uint64_t left = entry.size; left > 0;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(left, piece.size()));
    ssize_t got = read(source, piece.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::FailErrno(errno, what_, ": read ", entry.name);
    if (got == 0) {
      std::fill_n(piece.begin(), wanted, '\0');
      got = static_cast<ssize_t>(wanted);
    }
    RETURN_IF_ERROR(Write(std::string_view(piece).substr(0, static_cast<size_t>(got))));
    left -= static_cast<uint64_t>(got);
  }
  return Pad();
}

base::Status TarWriter::AddText(std::string_view name, std::string_view text) {
  TarEntry entry;
  entry.name = name;
  entry.mode = 0600;
  entry.size = text.size();
  RETURN_IF_ERROR(Add(entry));
  RETURN_IF_ERROR(Write(text));
  return Pad();
}

base::Status TarWriter::Finish() {
  RETURN_IF_ERROR(Write(std::string(2 * kTarBlock, '\0')));
  return Flush();
}

}  // namespace berth::image
