#include "image/archive.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/decompress.h"
#include "image/layer_path.h"
#include "image/media_type.h"
#include "image/tar_reader.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;
constexpr size_t kPiece = 1 << 20;
constexpr size_t kMaxMembers = 100'000;
constexpr size_t kMaxImages = 1000;
constexpr int kMaxLinks = 8;
constexpr std::string_view kOciIndexFile = "index.json";
constexpr std::string_view kDockerFile = "manifest.json";

Result<size_t> ReadAt(int fd, std::span<uint8_t> buffer, int64_t offset) {
  while (true) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return base::FailErrno(errno, "read archive");
  }
}

// The names that tools leave in an index; a bare tag names nothing.
std::string NameOf(const Descriptor& descriptor) {
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    const auto found = descriptor.annotations.find(key);
    if (found != descriptor.annotations.end() && found->second.find_first_of("/:") != std::string::npos)
      return found->second;
  }
  return {};
}

Status AddName(std::vector<Reference>& names, const std::string& text) {
  if (text.empty()) return {};
  ASSIGN_OR_RETURN(Reference name, Reference::Parse(text));
  if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  return {};
}

}  // namespace

// Notes where members stand. Fed in one go, piece by piece, with the place of each piece told first.
class Archive::Indexer : public TarSink, public ByteSink {
 public:
  Indexer(Archive& archive, int spare, const base::Context& context)
      : archive_(archive), spare_(spare), context_(context), reader_(*this) {}

  Status Feed(std::span<const uint8_t> bytes) {
    RETURN_IF_ERROR(context_.Check("read archive"));
    piece_ = bytes.data();
    RETURN_IF_ERROR(reader_.Write(bytes));
    at_ += static_cast<int64_t>(bytes.size());
    return {};
  }
  Status Finish() const { return reader_.Finish(); }

  // What a decompressor gives: kept in the spare file.
  Result<std::span<uint8_t>> Room() override {
    if (buffer_.empty()) buffer_.resize(kPiece);
    return std::span(buffer_);
  }
  Status Filled(size_t count) override {
    const std::span<const uint8_t> bytes = std::span(buffer_).first(count);
    RETURN_IF_ERROR(base::WriteAll(spare_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "spare file"));
    return Feed(bytes);
  }

  Status Begin(const TarEntry& entry) override {
    if (archive_.members_.size() + archive_.links_.size() > kMaxMembers) {
      return Fail(Code::kResourceExhausted, "more than ", kMaxMembers, " members");
    }
    ASSIGN_OR_RETURN(const std::string name, CleanLayerPath(entry.name));
    current_ = nullptr;
    if (entry.type == TarEntry::Type::kFile) {
      current_ = &archive_.members_[name];
      *current_ = {.offset = entry.size == 0 ? 0 : -1, .size = static_cast<int64_t>(entry.size)};
      first_ = true;
    } else if (entry.type == TarEntry::Type::kSymlink || entry.type == TarEntry::Type::kHardLink) {
      const bool relative = entry.type == TarEntry::Type::kSymlink && !entry.link.starts_with('/');
      const auto target =
          CleanLayerPath(relative ? base::Cat(SplitLayerPath(name).parent, "/", entry.link) : entry.link);
      if (target) archive_.links_[name] = *target;
    }
    return {};
  }
  Status Data(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (current_ == nullptr) return {};
    const int64_t start = at_ + (bytes.data() - piece_) - static_cast<int64_t>(offset);
    // A sparse file is not in one piece; nothing that is wanted from an archive is one.
    if (first_)
      current_->offset = offset == 0 ? start : -1;
    else if (current_->offset != start)
      current_->offset = -1;
    first_ = false;
    return {};
  }
  Status End() override { return {}; }

 private:
  Archive& archive_;
  const int spare_;
  const base::Context& context_;
  TarReader reader_;
  const uint8_t* piece_ = nullptr;
  int64_t at_ = 0;  // of the piece in the tar
  Member* current_ = nullptr;
  bool first_ = false;
  std::vector<uint8_t> buffer_;
};

Result<std::shared_ptr<Archive>> Archive::Open(const base::Path& file, base::UniqueFd spare, const Platform& platform,
                                               const base::Context& context, const Decompressor::Options& limits) {
  std::shared_ptr<Archive> archive(new Archive);
  RETURN_IF_ERROR(archive->Index(file, std::move(spare), limits, context), "archive ", file.native());
  Status read;
  if (archive->members_.contains(kOciIndexFile)) {
    read = archive->ReadOciIndex(platform);
  } else if (archive->members_.contains(kDockerFile)) {
    read = archive->ReadDockerManifest();
  } else {
    read = Fail(Code::kInvalidArgument, "neither an OCI image layout nor what docker saves");
  }
  RETURN_IF_ERROR(read, "archive ", file.native());
  if (archive->images_.empty()) return Fail(Code::kInvalidArgument, "archive ", file.native(), ": no image in it");
  return archive;
}

Status Archive::Index(const base::Path& file, base::UniqueFd spare, const Decompressor::Options& limits,
                      const base::Context& context) {
  // O_NONBLOCK: a FIFO of that name must not hold us up.
  ASSIGN_OR_RETURN(base::UniqueFd in, base::Open(file, O_RDONLY | O_NONBLOCK));
  Indexer indexer(*this, spare.get(), context);
  Decompressor decompressor(limits, context);
  std::vector<uint8_t> buffer(kPiece);
  bool plain = true;
  int64_t at = 0;
  while (true) {
    ASSIGN_OR_RETURN(const size_t got, ReadAt(in.get(), buffer, at));
    if (got == 0) break;
    const auto bytes = std::span<const uint8_t>(buffer).first(got);
    if (at == 0) plain = CompressionOf(bytes) == Compression::kPlain;
    RETURN_IF_ERROR(plain ? indexer.Feed(bytes) : decompressor.Write(bytes, indexer));
    at += static_cast<int64_t>(got);
  }
  if (!plain) RETURN_IF_ERROR(decompressor.Finish(indexer));
  RETURN_IF_ERROR(indexer.Finish());
  fd_ = plain ? std::move(in) : std::move(spare);
  return {};
}

Result<Archive::Member> Archive::Find(std::string name) const {
  for (int i = 0; i < kMaxLinks; ++i) {
    const auto member = members_.find(name);
    if (member != members_.end()) {
      if (member->second.offset < 0) return Fail(Code::kInvalidArgument, name, " is a sparse file");
      return member->second;
    }
    const auto link = links_.find(name);
    if (link == links_.end()) break;
    name = link->second;
  }
  return Fail(Code::kNotFound, name, " is not in the archive");
}

Result<std::string> Archive::ReadMember(const std::string& name, size_t limit) const {
  ASSIGN_OR_RETURN(const Member member, Find(name));
  if (member.size > static_cast<int64_t>(limit))
    return Fail(Code::kResourceExhausted, name, ": larger than ", limit, " bytes");
  std::string out(static_cast<size_t>(member.size), '\0');
  size_t done = 0;
  while (done < out.size()) {
    const std::span<uint8_t> room(reinterpret_cast<uint8_t*>(out.data()) + done, out.size() - done);
    ASSIGN_OR_RETURN(const size_t got, ReadAt(fd_.get(), room, member.offset + static_cast<int64_t>(done)));
    if (got == 0) return Fail(Code::kInvalidArgument, name, ": the archive was cut short");
    done += got;
  }
  return out;
}

// "index.json": an entry for each name, or for each platform of one.
Status Archive::ReadOciIndex(const Platform& platform) {
  ASSIGN_OR_RETURN(const std::string text, ReadMember(std::string(kOciIndexFile), kMaxManifestBytes));
  ASSIGN_OR_RETURN(const Document document, ParseDocument(text, kOciIndex));
  const std::vector<Descriptor>& entries = std::get<image::Index>(document).manifests;
  if (entries.size() > kMaxImages) return Fail(Code::kResourceExhausted, "more than ", kMaxImages, " images");
  std::map<std::string, std::vector<Descriptor>> by_name;
  for (const Descriptor& entry : entries) by_name[NameOf(entry)].push_back(entry);
  for (const auto& [name, group] : by_name) {
    const bool alike = std::ranges::all_of(group, [](const Descriptor& entry) { return entry.platform.has_value(); });
    std::vector<size_t> chosen = Candidates(group, platform);
    if (group.size() > 1 && alike && !chosen.empty()) chosen.resize(1);
    for (const size_t i : chosen) {
      ASSIGN_OR_RETURN(Resolved top, FetchManifest(group[i], {}));
      auto same = std::ranges::find(images_, top.digest, [](const ArchivedImage& image) { return image.top.digest; });
      if (same == images_.end())
        same = images_.insert(images_.end(), ArchivedImage{.top = std::move(top), .made_up = false, .names = {}});
      RETURN_IF_ERROR(AddName(same->names, name));
    }
  }
  return {};
}

// "manifest.json": [{"Config": "<file>", "RepoTags": [...], "Layers": ["<file>", ...]}]
Status Archive::ReadDockerManifest() {
  ASSIGN_OR_RETURN(const std::string text, ReadMember(std::string(kDockerFile), kMaxManifestBytes));
  ASSIGN_OR_RETURN(const nlohmann::json list, json::Parse(text, kDockerFile));
  if (!list.is_array() || list.size() > kMaxImages)
    return Fail(Code::kInvalidArgument, kDockerFile, ": not a list of images");
  for (const nlohmann::json& item : list) {
    ASSIGN_OR_RETURN(const std::string config_name, json::String(item, "Config", kDockerFile));
    ASSIGN_OR_RETURN(const auto tags, json::Strings(item, "RepoTags", kDockerFile));
    ASSIGN_OR_RETURN(const auto layers, json::Strings(item, "Layers", kDockerFile));
    ASSIGN_OR_RETURN(const std::string config_path, CleanLayerPath(config_name), kDockerFile);
    ASSIGN_OR_RETURN(const std::string config_body, ReadMember(config_path, kMaxConfigBytes));
    ASSIGN_OR_RETURN(const ImageConfig config, ParseImageConfig(config_body));
    if (config.diff_ids.size() != layers.size()) {
      return Fail(Code::kInvalidArgument, config_name, ": ", config.diff_ids.size(), " layers, ", kDockerFile, " has ",
                  layers.size());
    }
    const Digest config_digest = Sha256::Of(config_body);
    by_diff_id_[config_digest] = config_path;
    nlohmann::json descriptors = nlohmann::json::array();
    for (size_t i = 0; i < layers.size(); ++i) {
      ASSIGN_OR_RETURN(const std::string path, CleanLayerPath(layers[i]), kDockerFile);
      ASSIGN_OR_RETURN(const Member member, Find(path));
      by_diff_id_[config.diff_ids[i]] = path;
      descriptors.push_back({{"mediaType", kOciLayer}, {"digest", config.diff_ids[i].str()}, {"size", member.size}});
    }
    const std::string body = json::Dump(
        {{"schemaVersion", 2},
         {"mediaType", kOciManifest},
         {"config", {{"mediaType", kOciConfig}, {"digest", config_digest.str()}, {"size", config_body.size()}}},
         {"layers", descriptors}});
    ArchivedImage image{.top = {Sha256::Of(body), std::string(kOciManifest), body}, .made_up = true, .names = {}};
    for (const std::string& tag : tags) RETURN_IF_ERROR(AddName(image.names, tag), kDockerFile);
    images_.push_back(std::move(image));
  }
  return {};
}

Result<Archive::Member> Archive::FindBlob(const Descriptor& descriptor) const {
  const auto known = by_diff_id_.find(descriptor.digest);
  if (known != by_diff_id_.end()) return Find(known->second);
  const bool sha512 = descriptor.digest.algorithm() == Digest::Algorithm::kSha512;
  return Find(base::Cat("blobs/", sha512 ? "sha512" : "sha256", "/", descriptor.digest.hex()));
}

Result<Resolved> Archive::FetchManifest(const Descriptor& descriptor, const base::Context& context) {
  ASSIGN_OR_RETURN(std::string body, FetchSmall(descriptor, kMaxManifestBytes, context));
  std::string media_type = DocumentMediaType(body, descriptor.media_type);
  return Resolved{descriptor.digest, std::move(media_type), std::move(body)};
}

Result<std::string> Archive::FetchSmall(const Descriptor& descriptor, size_t limit, const base::Context& context) {
  if (!descriptor.data.empty()) return descriptor.data;
  if (descriptor.size > static_cast<int64_t>(limit)) {
    return Fail(Code::kInvalidArgument, "blob ", descriptor.digest.str(), ": larger than ", limit, " bytes");
  }
  std::string out;
  const BlobSink sink = [&](std::span<const uint8_t> bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Status();
  };
  RETURN_IF_ERROR(FetchBlob(descriptor, sink, context));
  return out;
}

Status Archive::FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const base::Context& context) {
  ASSIGN_OR_RETURN(const Member member, FindBlob(descriptor));
  if (member.size != descriptor.size) {
    return Fail(Code::kInvalidArgument, "blob ", descriptor.digest.str(), ": ", member.size,
                " bytes, the manifest says ", descriptor.size);
  }
  const bool verified_later = by_diff_id_.contains(descriptor.digest);
  Hasher hash(descriptor.digest.algorithm());
  std::vector<uint8_t> buffer(std::min<size_t>(kPiece, static_cast<size_t>(member.size)));
  int64_t done = 0;
  while (done < member.size) {
    RETURN_IF_ERROR(context.Check("read archive"));
    const auto want = static_cast<size_t>(std::min<int64_t>(member.size - done, static_cast<int64_t>(buffer.size())));
    ASSIGN_OR_RETURN(const size_t got, ReadAt(fd_.get(), std::span(buffer).first(want), member.offset + done));
    if (got == 0) return Fail(Code::kInvalidArgument, "blob ", descriptor.digest.str(), ": the archive was cut short");
    const std::span<const uint8_t> bytes = std::span(buffer).first(got);
    if (!verified_later) hash.Update(bytes);
    RETURN_IF_ERROR(sink(bytes));
    done += static_cast<int64_t>(got);
  }
  if (verified_later || hash.Finish() == descriptor.digest) return {};
  return Fail(Code::kInvalidArgument, "blob ", descriptor.digest.str(), ": its content has digest ",
              hash.Finish().str());
}

}  // namespace berth::image
