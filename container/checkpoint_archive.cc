#include "container/checkpoint_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/tar_reader.h"
#include "json/json.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using image::TarEntry;

constexpr size_t kPiece = 1 << 20;
constexpr size_t kMaxDocument = 16 << 20;
constexpr size_t kMaxMembers = 100'000;
constexpr size_t kMaxName = 255;

// Of both passes: the documents alone, or all but the documents.
class Members : public image::TarSink {
 public:
  Members(uint64_t archive_size, int images, image::LayerUnpacker* diff)
      : archive_size_(archive_size), images_(images), diff_(diff) {}

  base::Status Begin(const TarEntry& entry) override {
    if (++count_ > kMaxMembers) return Fail(Code::kResourceExhausted, "more than ", kMaxMembers, " members");
    target_ = Target::kNone;
    std::string_view name = entry.name;
    while (name.starts_with("./")) name.remove_prefix(2);
    if (entry.type != TarEntry::Type::kFile) return {};
    // A hole costs nothing in the archive, and much where it is unpacked.
    if (entry.size > archive_size_) return Fail(Code::kInvalidArgument, name, " is larger than the archive");
    if (diff_ == nullptr) return BeginDocument(name, entry);
    if (name == kRootDiff) {
      target_ = Target::kDiff;
      written_ = 0;
      return {};
    }
    const std::string folder = std::string(kImagesFolder) + "/";
    return name.starts_with(folder) ? BeginImage(name.substr(folder.size())) : base::Status();
  }

  base::Status Data(uint64_t offset, std::span<const uint8_t> bytes) override {
    switch (target_) {
      case Target::kNone:
        return {};
      case Target::kDocument:
        // A hole in a document is read as zeros, which no document holds.
        document_->resize(offset, '\0');
        document_->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      case Target::kDiff:
        if (offset != written_) return Fail(Code::kInvalidArgument, kRootDiff, " has holes");
        written_ += bytes.size();
        return diff_->Write(bytes);
      case Target::kImage:
        return WriteImage(offset, bytes);
    }
    return {};
  }

  base::Status End() override {
    file_.Reset();
    return {};
  }

  std::map<std::string, std::string, std::less<>> documents;

 private:
  enum class Target { kNone, kDocument, kDiff, kImage };

  base::Status BeginDocument(std::string_view name, const TarEntry& entry) {
    if (name != kConfigDump && name != kSpecDump && name != kDeletedFiles) return {};
    if (entry.size > kMaxDocument) return Fail(Code::kInvalidArgument, name, " has more than ", kMaxDocument, " bytes");
    target_ = Target::kDocument;
    document_ = &documents[std::string(name)];
    document_->clear();
    return {};
  }

  base::Status BeginImage(std::string_view name) {
    if (name.empty() || name.size() > kMaxName || name.front() == '.' || name.find('/') != std::string_view::npos)
      return Fail(Code::kInvalidArgument, kImagesFolder, "/", name, " is no name of an image");
    file_.Reset(openat(images_, std::string(name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file_) return base::FailErrno(errno, "make ", kImagesFolder, "/", name);
    target_ = Target::kImage;
    return {};
  }

  base::Status WriteImage(uint64_t offset, std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t done = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return base::FailErrno(errno, "write ", kImagesFolder);
      bytes = bytes.subspan(static_cast<size_t>(done));
      offset += static_cast<uint64_t>(done);
    }
    return {};
  }

  const uint64_t archive_size_;
  const int images_;
  image::LayerUnpacker* const diff_;
  size_t count_ = 0;
  Target target_ = Target::kNone;
  std::string* document_ = nullptr;
  uint64_t written_ = 0;
  base::UniqueFd file_;
};

base::Result<uint64_t> SizeOf(int archive) {
  struct stat info {};
  if (fstat(archive, &info) != 0) return base::FailErrno(errno, "stat");
  return static_cast<uint64_t>(info.st_size);
}

base::Status Pass(int archive, Members& members, const base::Context& context) {
  image::TarReader reader(members);
  std::vector<uint8_t> piece(kPiece);
  for (off_t offset = 0;;) {
    RETURN_IF_ERROR(context.Check("read checkpoint"));
    const ssize_t got = pread(archive, piece.data(), piece.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::FailErrno(errno, "read");
    if (got == 0) return reader.Finish();
    RETURN_IF_ERROR(reader.Write({piece.data(), static_cast<size_t>(got)}));
    offset += got;
  }
}

base::Status ReadConfig(std::string_view text, CheckpointFacts& out) {
  ASSIGN_OR_RETURN(const nlohmann::json config, json::Parse(text, kConfigDump));
  for (const char* key : {"rootfsImageRef", "rootfsImage", "rootfsImageName"}) {
    ASSIGN_OR_RETURN(std::string name, json::String(config, key, kConfigDump));
    if (!name.empty() && std::ranges::find(out.images, name) == out.images.end()) out.images.push_back(std::move(name));
  }
  if (out.images.empty()) return Fail(Code::kInvalidArgument, kConfigDump, " names no image");
  return {};
}

base::Status ReadSpec(std::string_view text, CheckpointFacts& out) {
  ASSIGN_OR_RETURN(const nlohmann::json spec, json::Parse(text, kSpecDump));
  ASSIGN_OR_RETURN(const nlohmann::json* process, json::Object(spec, "process", kSpecDump));
  if (process != nullptr) {
    ASSIGN_OR_RETURN(out.terminal, json::Bool(*process, "terminal", kSpecDump));
  }
  ASSIGN_OR_RETURN(const nlohmann::json* mounts, json::Array(spec, "mounts", kSpecDump));
  if (mounts == nullptr) return {};
  for (const nlohmann::json& mount : *mounts) {
    ASSIGN_OR_RETURN(const std::string type, json::String(mount, "type", kSpecDump));
    ASSIGN_OR_RETURN(std::string target, json::String(mount, "destination", kSpecDump));
    ASSIGN_OR_RETURN(const auto options, json::Strings(mount, "options", kSpecDump));
    const auto has = [&](const char* option) { return std::ranges::find(options, option) != options.end(); };
    if (type == "bind" || has("bind") || has("rbind")) out.bind_targets.push_back(std::move(target));
  }
  return {};
}

base::Status ReadDeleted(std::string_view text, CheckpointFacts& out) {
  if (text.empty()) return {};
  ASSIGN_OR_RETURN(const nlohmann::json list, json::Parse(text, kDeletedFiles));
  if (list.is_null()) return {};  // as an empty list is written in Go
  if (!list.is_array()) return Fail(Code::kInvalidArgument, kDeletedFiles, " is no list");
  for (const nlohmann::json& path : list) {
    if (!path.is_string()) return Fail(Code::kInvalidArgument, kDeletedFiles, " is no list of paths");
    out.deleted.push_back(path.get<std::string>());
    const std::string& added = out.deleted.back();
    if (added.empty() || added.find('\0') != std::string::npos)
      return Fail(Code::kInvalidArgument, kDeletedFiles, " has a path that is none");
  }
  return {};
}

}  // namespace

base::Result<CheckpointFacts> ParseCheckpoint(std::string_view config_dump, std::string_view spec_dump,
                                              std::string_view deleted_files) {
  CheckpointFacts out;
  RETURN_IF_ERROR(ReadConfig(config_dump, out));
  RETURN_IF_ERROR(ReadSpec(spec_dump, out));
  RETURN_IF_ERROR(ReadDeleted(deleted_files, out));
  return out;
}

base::Result<CheckpointFacts> ReadCheckpoint(int archive, const base::Context& context) {
  ASSIGN_OR_RETURN(const uint64_t size, SizeOf(archive));
  Members members(size, -1, nullptr);
  RETURN_IF_ERROR(Pass(archive, members, context));
  for (const std::string_view name : {kConfigDump, kSpecDump}) {
    if (!members.documents.contains(name)) return Fail(Code::kInvalidArgument, "there is no ", name, " in it");
  }
  return ParseCheckpoint(members.documents.at(std::string(kConfigDump)), members.documents.at(std::string(kSpecDump)),
                         members.documents[std::string(kDeletedFiles)]);
}

base::Status UnpackCheckpoint(int archive, const base::Path& images, image::LayerUnpacker& diff,
                              const base::Context& context) {
  ASSIGN_OR_RETURN(const uint64_t size, SizeOf(archive));
  ASSIGN_OR_RETURN(const base::UniqueFd folder, base::Open(images, O_PATH | O_DIRECTORY));
  Members members(size, folder.get(), &diff);
  return Pass(archive, members, context);
}

}  // namespace berth::container
