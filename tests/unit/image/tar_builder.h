// Archives and layers made byte by byte, and a look at the folders that come of them.
#pragma once

#include <isa-l/igzip_lib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/strings.h"

namespace berth::image {

struct TarItem {
  std::string name;
  char type = '0';
  std::string content = {};
  std::string link = {};
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  int64_t mtime = 1'000'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  std::vector<std::pair<std::string, std::string>> pax = {};
};

inline std::string Padded(std::string text) {
  text.resize((text.size() + 511) / 512 * 512, '\0');
  return text;
}

inline void SealHeader(std::string& header) {
  std::memset(header.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (const unsigned char c : header) sum += c;
  std::snprintf(header.data() + 148, 8, "%06o", sum);
}

inline std::string TarHeader(const TarItem& item, uint64_t size) {
  std::string header(512, '\0');
  const auto put = [&](size_t at, size_t room, std::string_view text) {
    std::memcpy(header.data() + at, text.data(), std::min(room, text.size()));
  };
  const auto octal = [&](size_t at, int room, uint64_t value) {
    char text[32];
    std::snprintf(text, sizeof text, "%0*llo", room - 1, static_cast<unsigned long long>(value));
    put(at, static_cast<size_t>(room), text);
  };
  put(0, 100, item.name);
  octal(100, 8, item.mode);
  octal(108, 8, item.uid);
  octal(116, 8, item.gid);
  octal(124, 12, size);
  if (item.mtime >= 0) {
    octal(136, 12, static_cast<uint64_t>(item.mtime));
  } else {
    for (int i = 0; i < 12; ++i)
      header[136 + 11 - static_cast<size_t>(i)] = static_cast<char>(i < 8 ? item.mtime >> (8 * i) : 0xff);
  }
  header[156] = item.type;
  put(157, 100, item.link);
  put(257, 8, std::string_view("ustar\00000", 8));
  octal(329, 8, item.major);
  octal(337, 8, item.minor);
  SealHeader(header);
  return header;
}

inline std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t body = key.size() + value.size() + 3;
  size_t length = body + 1;
  while (std::to_string(length).size() + body != length) ++length;
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

inline std::string TarOf(const TarItem& item) {
  std::string out;
  if (!item.pax.empty()) {
    std::string records;
    for (const auto& [key, value] : item.pax) records += PaxRecord(key, value);
    out += TarHeader({.name = "pax", .type = 'x'}, records.size()) + Padded(records);
  }
  return out + TarHeader(item, item.content.size()) + Padded(item.content);
}

inline std::string Tar(const std::vector<TarItem>& items) {
  std::string out;
  for (const TarItem& item : items) out += TarOf(item);
  return out + std::string(1024, '\0');
}

inline TarItem Folder(std::string name, unsigned mode = 0755) {
  return {.name = std::move(name), .type = '5', .mode = mode};
}
inline TarItem File(std::string name, std::string content = "x") {
  return {.name = std::move(name), .content = std::move(content)};
}
inline TarItem Symlink(std::string name, std::string link) {
  return {.name = std::move(name), .type = '2', .link = std::move(link)};
}
inline TarItem HardLink(std::string name, std::string link) {
  return {.name = std::move(name), .type = '1', .link = std::move(link)};
}

// For names that do not fit the header.
inline TarItem WithName(TarItem item, std::string name) {
  item.pax.emplace_back("path", std::move(name));
  return item;
}

inline std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string Gzip(std::string_view text) {
  isal_zstream stream;
  std::string out(2 * text.size() + 4096, '\0');
  std::string in(text);
  isal_deflate_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(in.data());
  stream.avail_in = static_cast<uint32_t>(in.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  isal_deflate(&stream);
  out.resize(stream.total_out);
  return out;
}

inline std::string Zstd(std::string_view text, int level = 3) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), level));
  return out;
}

// Bytes that compress a little, the same each time.
inline std::string Noise(size_t size, uint32_t seed = 1) {
  std::string out(size, '\0');
  for (char& c : out) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>((seed >> 24) & 0x3f);
  }
  return out;
}

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-image-XXXXXX").native();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() { (void)base::RemoveTree(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const base::Path& path() const { return path_; }

 private:
  base::Path path_;
};

// path -> everything that can be seen of it: kind, mode, owner, times, links, content, attributes.
inline std::map<std::string, std::string> Describe(const base::Path& root) {
  std::map<std::string, std::string> out;
  const auto describe = [&](const base::Path& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return;
    std::string text =
        base::Cat("mode ", info.st_mode, " uid ", info.st_uid, " gid ", info.st_gid, " links ",
                  S_ISDIR(info.st_mode) ? 0 : info.st_nlink, " mtime ", info.st_mtim.tv_sec, '.', info.st_mtim.tv_nsec,
                  " device ", info.st_rdev, " size ", S_ISREG(info.st_mode) ? info.st_size : 0);
    if (S_ISLNK(info.st_mode)) text += " -> " + std::filesystem::read_symlink(path).native();
    if (S_ISREG(info.st_mode)) text += " " + base::ReadFile(path).value_or("?");
    std::string list(65536, '\0');
    const ssize_t size = llistxattr(path.c_str(), list.data(), list.size());
    list.resize(size > 0 ? static_cast<size_t>(size) : 0);
    for (const auto name : base::Split(list, '\0')) {
      if (name.empty()) continue;
      std::string value(65536, '\0');
      const ssize_t got = lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
      text += base::Cat(" ", name, "=", value.substr(0, got > 0 ? static_cast<size_t>(got) : 0));
    }
    out[path.lexically_relative(root).native()] = text;
  };
  describe(root);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) describe(entry.path());
  return out;
}

}  // namespace berth::image
