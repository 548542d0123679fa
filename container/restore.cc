// Containers that are made from a checkpoint: CreateContainer unpacks it, StartContainer brings its processes back.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "container/checkpoint.h"
#include "container/containers.h"
#include "container/creation.h"
#include "container/live.h"
#include "cri-proto/api.pb.h"
#include "image/layer_settle.h"
#include "kernel/mount.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

// CRIU restores what the archive says: credentials, memory, open files. Whoever could write it could be root.
base::Result<base::UniqueFd> OpenArchive(const std::string& path) {
  ASSIGN_OR_RETURN(base::UniqueFd file, base::Open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return base::FailErrno(errno, "stat ", path);
  if (!S_ISREG(info.st_mode)) return Fail(Code::kInvalidArgument, path, " is not a file");
  if (info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    return Fail(Code::kFailedPrecondition, path,
                " may be written by others than root: a checkpoint is restored with all rights that it names");
  }
  return file;
}

}  // namespace

base::Status RemoveDeleted(int root, const std::vector<std::string>& paths) {
  for (const std::string& text : paths) {
    const base::Path path = base::Path("/" + text).lexically_normal();
    if (!path.has_filename() || path == "/")
      return Fail(Code::kInvalidArgument, kDeletedFiles, ": \"", text, "\" cannot be removed");
    auto folder = base::OpenInRoot(root, path.parent_path(), O_PATH | O_DIRECTORY);
    if (!folder) {
      if (folder.error().err == ENOENT || folder.error().err == ENOTDIR) continue;
      return tl::make_unexpected(base::Wrap(std::move(folder).error(), kDeletedFiles));
    }
    RETURN_IF_ERROR(base::RemoveTree(base::Cat("/proc/self/fd/", folder->get(), "/", path.filename().native())),
                    kDeletedFiles);
  }
  return {};
}

base::Result<std::string> Containers::OpenCheckpoint(Creation& creation, const base::Context& context) {
  const std::string& named = creation.config.image().image();
  // No reference to an image begins so.
  if (!named.starts_with('/')) return named;
  const std::string what = "checkpoint " + named;
  ASSIGN_OR_RETURN(const auto seen, parts_.paths->Inspect(named, context), what);
  if (!seen.exists) return Fail(Code::kNotFound, what, " does not exist");
  RETURN_IF_ERROR(CheckCriu(*creation.runtime, context), what);
  if (creation.pod.user_namespace) return Fail(Code::kUnimplemented, what, ": not in a pod with a user namespace");
  ASSIGN_OR_RETURN(creation.archive, OpenArchive(named), what);
  ASSIGN_OR_RETURN(creation.checkpoint, ReadCheckpoint(creation.archive.get(), context), what);
  if (creation.checkpoint.terminal != creation.config.tty()) {
    return Fail(Code::kInvalidArgument, "tty: ", what, " is of a container with",
                creation.checkpoint.terminal ? "" : "out", " a terminal");
  }
  creation.container.restored = true;
  for (const std::string& image : creation.checkpoint.images) {
    if (const auto found = parts_.images->Find(image); found && *found) return (*found)->id;
  }
  return Fail(Code::kNotFound, what, ": its image ", creation.checkpoint.images.front(),
              " is not on this node; pull it first");
}

base::Status Containers::Unpack(Creation& creation, const std::vector<base::Path>& lower,
                                const base::Context& context) {
  const std::string& id = creation.container.id;
  const std::string what = "checkpoint " + creation.config.image().image();
  const base::Path folder = RestoreFolder(id);
  const base::Path images = folder / kImagesFolder;
  const base::Path staged = folder / "root";
  RETURN_IF_ERROR(base::MakeDirs(images, 0700));
  RETURN_IF_ERROR(base::MakeDirs(staged, 0700));
  const base::Path upper = StateFolder(id) / "upper";
  if (const uint32_t project = kernel::ProjectQuota::IdOf(upper); project != 0) {
    RETURN_IF_ERROR(kernel::ProjectQuota::Assign(staged, project));
  }
  ASSIGN_OR_RETURN(auto unpacker, image::LayerUnpacker::Create(image::StagedFolder(staged), {}));
  RETURN_IF_ERROR(UnpackCheckpoint(creation.archive.get(), images, *unpacker, context), what);
  if (!base::Exists(images / "inventory.img"))
    return Fail(Code::kInvalidArgument, what, ": there are no images of CRIU in it");
  ASSIGN_OR_RETURN(image::UnpackedLayer layer, unpacker->Finish(context), what, ": ", kRootDiff);
  RETURN_IF_ERROR(image::SettleLayer(layer, lower, context), what, ": ", kRootDiff);
  RETURN_IF_ERROR(base::RemoveTree(upper));
  if (rename((staged / "diff").c_str(), upper.c_str()) != 0)
    return base::FailErrno(errno, "rename to ", upper.native());
  return {};
}

base::Status Containers::FitCheckpoint(Creation& creation) {
  for (const std::string& target : creation.checkpoint.bind_targets) {
    const auto same = [&](const oci::Mount& mount) { return mount.destination == target; };
    if (std::ranges::none_of(creation.spec.mounts, same)) {
      return Fail(Code::kInvalidArgument, "mounts: the checkpoint is of a container with a mount at ", target,
                  ", and the request has none there");
    }
  }
  // runc would put the processes into the cgroup that they were in. It takes no option to the contrary, but CRIU's file
  // does, which goes before what runc says; ours stands in the place of the node's own, and so contains it.
  const std::string& runtime = creation.container.runtime;
  const base::Path conf = Bundle(creation.container.id) / "criu.conf";
  std::string text;
  for (const std::string& name : {runtime, std::string("runc")}) {
    if (auto own = base::ReadFile("/etc/criu/" + name + ".conf", 64 << 10)) {
      text = *std::move(own) + "\n";
      break;
    }
  }
  RETURN_IF_ERROR(base::WriteFile(conf, text + "manage-cgroups=ignore\n"));
  creation.spec.annotations["org.criu.config"] = conf.native();
  return {};
}

base::Status Containers::StartRestored(const std::string& id, oci::Runtime& runtime, const base::Context& context,
                                       state::Stage& stage) {
  const LivePtr live = FindLive(id);
  if (!live) return Fail(Code::kFailedPrecondition, "container ", id, " has ended");
  const std::unique_lock turn(live->updating, context.deadline());
  if (!turn) return Fail(Code::kDeadlineExceeded, "StartContainer ", id);
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kCreated)
    return Fail(Code::kFailedPrecondition, "container ", id, " is ", StateName(container->state));
  const auto entries = live->ledger->entries();
  const auto place = std::ranges::find(entries, "cgroup", &state::Entry::kind);
  if (place == entries.end())
    return Fail(Code::kInternal, "container ", id, ": its ledger names no cgroup for its monitor");
  auto launched = RunMonitor(*container, runtime, place->target, context, stage);
  if (!launched) {
    // What it left, so that what CRIU says is all there is to say.
    const base::Status gone = kernel::Unmount(runtime.RestoreMount(id));
    base::Error error = std::move(launched).error();
    if (const std::string cause = CriuError(RestoreFolder(id) / "restore.log"); !cause.empty())
      error.message += ": " + cause;
    if (!gone) error.clean_up = gone.error().message;
    return tl::make_unexpected(std::move(error));
  }
  auto watched = base::OpenProcess(launched->pid, launched->start_time);
  const auto begin = [&](const Container& old) -> base::Result<Container> {
    Container changed = old;
    changed.monitor = {.pid = launched->monitor.pid(), .start_time = launched->monitor_start_time};
    changed.process = {.pid = launched->pid, .start_time = launched->start_time};
    return changed;
  };
  const auto kept = store_.Update(id, begin, state::Persist::kBestEffort);
  watch_.Watch({.id = id,
                .monitor = launched->monitor.Release(),
                .process = watched ? *std::move(watched) : base::UniqueFd(),
                .exit_file = ExitFile(id),
                .socket = MonitorSocket(id)});
  const auto remove = [folder = RestoreFolder(id)] { (void)base::RemoveTree(folder); };
  if (!parts_.removal->Submit(remove)) remove();
  if (!kept) return tl::make_unexpected(kept.error());
  return {};
}

}  // namespace berth::container
