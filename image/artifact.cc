#include "image/artifact.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/media_type.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
constexpr const char* kTitle = "org.opencontainers.image.title";
constexpr const char* kLabel = "berth.artifact";
constexpr size_t kBlock = 512;
constexpr size_t kMaxName = 4096;

bool IsAllowed(const std::string& name) {
  if (name.empty() || name.size() > kMaxName || name.find('\0') != std::string::npos) return false;
  const base::Path path(name);
  if (path.is_absolute() || path.lexically_normal().native() != name || !path.has_filename()) return false;
  return std::ranges::none_of(
      path, [](const base::Path& part) { return part == "." || part == ".." || part.native().starts_with(".wh."); });
}

// ustar (pax(1)); names and sizes that do not fit are in a record before it.
std::string Header(std::string_view name, char type, int64_t size) {
  std::string header(kBlock, '\0');
  const auto put = [&](size_t at, std::string_view text) { header.replace(at, text.size(), text); };
  char octal[16];
  snprintf(octal, sizeof octal, "%011llo", static_cast<unsigned long long>(size & 077777777777));
  put(0, name.substr(0, 99));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, octal);
  put(136, "00000000000");
  put(148, "        ");
  header[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<uint8_t>(c);
  snprintf(octal, sizeof octal, "%06o", sum);
  put(148, std::string_view(octal, 7));
  return header;
}

// "<length> key=value\n", where the length counts itself.
std::string Record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  return base::Cat(length, " ", key, "=", value, "\n");
}

}  // namespace

bool IsArtifact(const Manifest& manifest) {
  return !IsImageConfig(manifest.config.media_type);
}
bool IsArtifact(const Image& image) {
  return image.config.labels.contains(kLabel);
}

base::Result<std::vector<std::string>> FileNames(const Manifest& manifest) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const Descriptor& blob : manifest.layers) {
    const auto title = blob.annotations.find(kTitle);
    std::string name(title == blob.annotations.end() ? std::string(blob.digest.str()) : title->second);
    if (!IsAllowed(name)) {
      return base::Fail(Code::kInvalidArgument, "artifact: blob ", blob.digest.str(),
                        ": its title is no name for a file");
    }
    if (!seen.insert(name).second)
      return base::Fail(Code::kInvalidArgument, "artifact: two files called \"", name, "\"");
    out.push_back(std::move(name));
  }
  return out;
}

std::string FileHeader(std::string_view name, int64_t size) {
  const std::string records = base::Cat(Record("path", name), Record("size", std::to_string(size)));
  const auto length = static_cast<int64_t>(records.size());
  return base::Cat(Header("file", 'x', length), records, FilePadding(length), Header(name, '0', size));
}

std::string FilePadding(int64_t size) {
  const size_t over = static_cast<size_t>(size) % kBlock;
  return std::string(over == 0 ? 0 : kBlock - over, '\0');
}

std::string ArchiveEnd() {
  return std::string(2 * kBlock, '\0');
}

std::string ArtifactConfig(const Digest& manifest_digest, const Digest& diff_id, const Platform& platform) {
  return json::Dump({{"architecture", platform.architecture},
                     {"os", platform.os},
                     {"config", {{"Labels", {{kLabel, manifest_digest.str()}}}}},
                     {"rootfs", {{"type", "layers"}, {"diff_ids", {diff_id.str()}}}}});
}

}  // namespace berth::image
