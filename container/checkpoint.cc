// CheckpointContainer: the OCI runtime has CRIU write the processes' state, we add what else a restore needs.
#include "container/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "base/time.h"
#include "container/checkpoint_archive.h"
#include "container/containers.h"
#include "container/live.h"
#include "container/upper_archive.h"
#include "cri-proto/api.pb.h"
#include "image/rootfs.h"
#include "image/tar_writer.h"
#include "json/json.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

constexpr size_t kLogLimit = 4 << 20;

nlohmann::json TextMap(const auto& map) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

// The work folder, whatever happens.
class WorkFolder {
 public:
  explicit WorkFolder(base::Path path) : path_(std::move(path)) {}
  ~WorkFolder() { (void)base::RemoveTree(path_); }

  base::Status Make() {
    RETURN_IF_ERROR(base::RemoveTree(path_));
    RETURN_IF_ERROR(base::MakeDirs(images(), 0700));
    return base::MakeDirs(logs(), 0700);
  }
  base::Path images() const { return path_ / kImagesFolder; }
  base::Path logs() const { return path_ / "work"; }
  base::Path diff() const { return path_ / kRootDiff; }

 private:
  const base::Path path_;
};

base::Status AddFileOf(image::TarWriter& out, const base::Path& path, const std::string& name) {
  ASSIGN_OR_RETURN(const base::UniqueFd file, base::Open(path, O_RDONLY));
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size < 0 || lseek(file.get(), 0, SEEK_SET) < 0) return base::FailErrno(errno, "seek ", path.native());
  image::TarEntry entry;
  entry.name = name;
  entry.mode = 0600;
  entry.size = static_cast<uint64_t>(size);
  return out.AddFile(entry, file.get());
}

// What whoever restores it must have at these places, in the form that CRI-O reads.
base::Result<std::string> BindMounts(const Container& container, kernel::ForeignPaths& paths,
                                     const base::Context& context) {
  nlohmann::json out = nlohmann::json::array();
  for (const cri::Mount& mount : container.config->mounts()) {
    if (mount.host_path().empty()) continue;
    ASSIGN_OR_RETURN(const kernel::ForeignPath source, paths.Inspect(mount.host_path(), context));
    const bool folder = source.exists && source.kind == kernel::ForeignPath::Kind::kFolder;
    out.push_back({{"source", mount.host_path()},
                   {"destination", mount.container_path()},
                   {"file_type", folder ? "directory" : "file"},
                   {"permissions", source.mode}});
  }
  return json::Dump(out);
}

// Nobody sees the file before it is whole, and after a crash it never was.
base::Result<base::UniqueFd> NamelessFile(const base::Path& folder) {
  return base::Open(folder, O_TMPFILE | O_WRONLY, 0600);
}
base::Status Name(int file, const base::Path& path) {
  if (fsync(file) != 0) return base::FailErrno(errno, "flush ", path.native());
  const std::string own = base::Cat("/proc/self/fd/", file);
  if (linkat(AT_FDCWD, own.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    if (errno == EEXIST) return Fail(Code::kAlreadyExists, path.native(), " exists");
    return base::FailErrno(errno, "link ", path.native());
  }
  return base::SyncFolder(path.parent_path());
}

}  // namespace

std::string ConfigDump(const Container& container, int64_t now) {
  return json::Dump({{"id", container.id},
                     {"name", container.config->metadata().name()},
                     {"rootfsImage", container.image_id},
                     {"rootfsImageRef", container.image_ref},
                     {"rootfsImageName", container.image_name},
                     {"runtime", container.runtime},
                     {"createdTime", base::Rfc3339(container.created_at)},
                     {"checkpointedTime", base::Rfc3339(now)}});
}

// ContainerStatus as Go writes it: numbers are numbers, enumerations too.
std::string StatusDump(const Container& container) {
  const cri::ContainerConfig& config = *container.config;
  return json::Dump(
      {{"id", container.id},
       {"metadata", {{"name", config.metadata().name()}, {"attempt", config.metadata().attempt()}}},
       {"state", static_cast<int>(cri::CONTAINER_RUNNING)},
       {"created_at", container.created_at},
       {"started_at", container.started_at},
       {"image", {{"image", container.image_name}, {"user_specified_image", config.image().user_specified_image()}}},
       {"image_ref", container.image_ref},
       {"image_id", container.image_id},
       {"labels", TextMap(config.labels())},
       {"annotations", TextMap(config.annotations())},
       {"log_path", container.log_path.native()}});
}

std::string CriuError(const base::Path& log) {
  const auto text = base::ReadFile(log, kLogLimit);
  if (!text) return {};
  constexpr std::string_view kMark = "Error (";
  for (const std::string_view line : base::Split(*text, '\n')) {
    const size_t mark = line.find(kMark);
    if (mark == std::string_view::npos) continue;
    const size_t place = line.find("): ", mark);
    return std::string(base::Trim(place == std::string_view::npos ? line.substr(mark) : line.substr(place + 3)));
  }
  return {};
}

base::Status Containers::Checkpoint(const std::string& id_or_prefix, const base::Path& location,
                                    std::chrono::nanoseconds timeout, const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, Find(id_or_prefix));
  const std::string& id = container->id;
  if (container->state != State::kRunning)
    return Fail(Code::kFailedPrecondition, "container ", id, " is ", StateName(container->state), ", not running");
  auto result = operations_.Run(
      {.key = "checkpoint/" + id,
       .fingerprint = location.native(),
       .what = "CheckpointContainer " + id,
       .timeout = timeout > std::chrono::nanoseconds(0) ? timeout : parts_.create_timeout,
       .submit = [this](std::function<void()> work) { return Submit(std::move(work)); },
       .body = [this, container, location](const base::Context& own, state::Stage& stage) -> base::Result<std::string> {
         RETURN_IF_ERROR(WriteCheckpoint(*container, location, own, stage));
         return container->id;
       }},
      context);
  if (!result) return tl::make_unexpected(std::move(result).error());
  return {};
}

base::Status Containers::CheckCriu(oci::Runtime& runtime, const base::Context& context) const {
  ASSIGN_OR_RETURN(const oci::Features features, runtime.GetFeatures(context));
  if (!features.checkpoints)
    return Fail(Code::kUnimplemented, "runtime ", runtime.name(), " (", features.version,
                ") is built without support for CRIU");
  if (!parts_.has_criu || !parts_.has_criu()) return Fail(Code::kUnimplemented, "criu is not installed on this node");
  return {};
}

base::Status Containers::WriteCheckpoint(const Container& container, const base::Path& location,
                                         const base::Context& context, state::Stage& stage) {
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(container.runtime));
  RETURN_IF_ERROR(CheckCriu(*runtime, context), "CheckpointContainer");
  if (container.config->linux().security_context().namespace_options().has_userns_options() &&
      container.config->linux().security_context().namespace_options().userns_options().mode() == cri::POD) {
    return Fail(Code::kUnimplemented, "CheckpointContainer: not of a container with a user namespace");
  }
  ASSIGN_OR_RETURN(const auto folder, parts_.paths->Inspect(location.parent_path(), context), "location");
  if (!folder.exists) return Fail(Code::kNotFound, "location: there is no folder ", location.parent_path().native());
  if (base::Exists(location)) return Fail(Code::kAlreadyExists, "location: ", location.native(), " exists");
  ASSIGN_OR_RETURN(const base::UniqueFd archive, NamelessFile(location.parent_path()), "location");
  ASSIGN_OR_RETURN(const image::ImagePtr image, parts_.images->Find(container.image_id));
  if (!image) return Fail(Code::kFailedPrecondition, "the image ", container.image_id, " is not on this node any more");

  stage.Enter("runtime checkpoint");
  WorkFolder work(CheckpointFolder(container.id));
  RETURN_IF_ERROR(work.Make());
  if (base::Status done =
          runtime->Checkpoint({.id = container.id, .images = work.images(), .work = work.logs()}, context);
      !done) {
    if (const std::string cause = CriuError(work.logs() / kDumpLog); !cause.empty())
      done.error().message += ": " + cause;
    return done;
  }

  stage.Enter("files");
  ASSIGN_OR_RETURN(const auto lower, image::LowerDirs(*parts_.images, *image));
  std::vector<std::string> deleted;
  {
    ASSIGN_OR_RETURN(const base::UniqueFd diff, base::Open(work.diff(), O_CREAT | O_WRONLY | O_EXCL, 0600));
    image::TarWriter writer(diff.get(), std::string(kRootDiff));
    ASSIGN_OR_RETURN(deleted, ArchiveUpper(StateFolder(container.id) / "upper", lower, writer, context));
  }

  stage.Enter("archive");
  image::TarWriter out(archive.get(), location.native());
  ASSIGN_OR_RETURN(const std::string spec, RuntimeSpec(container.id));
  ASSIGN_OR_RETURN(const std::string binds, BindMounts(container, *parts_.paths, context));
  RETURN_IF_ERROR(out.AddText(kConfigDump, ConfigDump(container, base::UnixNanos())));
  RETURN_IF_ERROR(out.AddText(kSpecDump, spec));
  RETURN_IF_ERROR(out.AddText(kStatusDump, StatusDump(container)));
  RETURN_IF_ERROR(out.AddText(kBindMounts, binds));
  RETURN_IF_ERROR(out.AddText(kDeletedFiles, json::Dump(deleted)));
  for (const std::string_view name : {kDumpLog, kStatsDump}) {
    const base::Path path = work.logs() / name;
    if (base::Exists(path)) RETURN_IF_ERROR(AddFileOf(out, path, std::string(name)));
  }
  image::TarEntry images;
  images.type = image::TarEntry::Type::kFolder;
  images.name = kImagesFolder;
  images.mode = 0700;
  RETURN_IF_ERROR(out.Add(images));
  ASSIGN_OR_RETURN(auto names, base::ListFolder(work.images()));
  std::ranges::sort(names);
  for (const std::string& name : names) {
    RETURN_IF_ERROR(context.Check("CheckpointContainer"));
    RETURN_IF_ERROR(AddFileOf(out, work.images() / name, base::Cat(kImagesFolder, "/", name)));
  }
  RETURN_IF_ERROR(AddFileOf(out, work.diff(), std::string(kRootDiff)));
  RETURN_IF_ERROR(out.Finish());
  RETURN_IF_ERROR(context.Check("CheckpointContainer"));
  return Name(archive.get(), location);
}

}  // namespace berth::container
