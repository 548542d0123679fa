// CreateContainer: image -> writable layer -> config.json -> monitor -> the OCI runtime's create.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/beside.h"
#include "base/strings.h"
#include "base/time.h"
#include "conmon/client.h"
#include "container/checkpoint.h"
#include "container/containers.h"
#include "container/creation.h"
#include "container/image_volumes.h"
#include "container/live.h"
#include "container/mounts.h"
#include "container/process.h"
#include "container/selinux.h"
#include "container/stop_signal.h"
#include "container/user_namespace.h"
#include "cri-proto/api.pb.h"
#include "image/artifact.h"
#include "image/rootfs.h"
#include "kernel/mount.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

std::string ImageName(const cri::ContainerConfig& config, const image::Image& image) {
  if (!image.repo_tags.empty()) return image.repo_tags.front();
  return config.image().user_specified_image().empty() ? image.id : config.image().user_specified_image();
}

base::Path LogPath(const cri::ContainerConfig& config, const Pod& pod) {
  if (config.log_path().empty() || pod.config->log_directory().empty()) return {};
  return base::Path(pod.config->log_directory()) / config.log_path();
}

// What stands in the way is the image's or the request's.
base::Status MakeFolders(int root, const base::Path& path, const Pod& pod) {
  base::Status made = MakeOwnedFolders(root, path, pod);
  if (made) return made;
  const int err = made.error().err;
  if (err == ENOTDIR || err == ELOOP || err == ENAMETOOLONG || err == ENOENT)
    made.error().code = Code::kInvalidArgument;
  return made;
}

}  // namespace

std::string CgroupsPath(const std::string& parent, const std::string& prefix, const std::string& id, bool systemd) {
  if (!systemd) return base::Cat(parent, "/", prefix, "-", id);
  const size_t slash = parent.rfind('/');
  return base::Cat(slash == std::string::npos ? parent : parent.substr(slash + 1), ":", prefix, ":", id);
}

base::Result<std::string> Containers::Create(const cri::ContainerConfig& config, const Pod& pod,
                                             const std::string& request_digest, const base::Context& context) {
  RETURN_IF_ERROR(CheckConfig(config, pod));
  const auto& metadata = config.metadata();
  const std::string name = base::Cat(metadata.name(), "/", metadata.attempt());
  // The operation outlives a caller that leaves: it keeps copies.
  auto request = std::make_shared<const std::pair<cri::ContainerConfig, Pod>>(config, pod);
  return operations_.Run({.key = base::Cat("create/", pod.id, "/", name),
                          .fingerprint = request_digest,
                          .what = base::Cat("CreateContainer ", name, " in sandbox ", pod.id),
                          .timeout = parts_.create_timeout,
                          .submit = [this](std::function<void()> work) { return Submit(std::move(work)); },
                          .body =
                              [this, request, request_digest](const base::Context& own, state::Stage& stage) {
                                return CreateBody(request->first, request->second, request_digest, own, stage);
                              },
                          .abandoned =
                              [this](base::Result<std::string> late) {
                                // Not as an operation: this thread is one of those that operations need.
                                state::Stage stage;
                                if (late) (void)RemoveBody(*late, life_.WithTimeout(parts_.create_timeout), stage);
                              },
                          .finished = parts_.timelines->Keeper("CreateContainer", {}, context.id())},
                         context);
}

base::Result<std::string> Containers::CreateBody(const cri::ContainerConfig& config, const Pod& pod,
                                                 const std::string& request_digest, const base::Context& context,
                                                 state::Stage& stage) {
  const auto& metadata = config.metadata();
  const auto same = store_.Snapshot().FindIf([&](const std::string&, const Container& other) {
    return !other.creating && other.sandbox_id == pod.id && other.config->metadata().name() == metadata.name() &&
           other.config->metadata().attempt() == metadata.attempt();
  });
  if (same) {
    if (same->request_digest == request_digest && same->state == State::kCreated) return same->id;
    return Fail(Code::kAlreadyExists, "container ", metadata.name(), " attempt ", metadata.attempt(),
                " exists in sandbox ", pod.id, ": ", same->id, " (", StateName(same->state), ")");
  }

  Creation creation{.config = config, .pod = pod};
  Container& container = creation.container;
  container.id = base::RandomId();
  container.sandbox_id = pod.id;
  container.config = std::make_shared<const cri::ContainerConfig>(config);
  container.request_digest = request_digest;
  container.runtime = pod.runtime;
  container.boot_id = parts_.boot_id;
  container.created_at = base::UnixNanos();
  container.creating = true;
  container.log_path = LogPath(config, pod);
  container.cgroups_path = CgroupsPath(pod.cgroup_parent, "berth", container.id, parts_.systemd_cgroup);
  ASSIGN_OR_RETURN(creation.runtime, RuntimeOf(pod.runtime));
  ASSIGN_OR_RETURN(auto ledger, state::Ledger::Load({.run = RunFolder(container.id) / "ledger",
                                                     .state = StateFolder(container.id) / "ledger"},
                                                    true));
  creation.live = std::make_shared<Live>();
  creation.live->ledger = std::move(ledger);
  creation.live->exited.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  creation.live->sooner.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!creation.live->exited || !creation.live->sooner) return base::FailErrno(errno, "eventfd");

  if (base::Status built = Build(creation, context, stage); !built)
    return tl::make_unexpected(Abandon(creation, std::move(built).error()));
  return container.id;
}

base::Status Containers::Build(Creation& creation, const base::Context& context, state::Stage& stage) {
  Container& container = creation.container;
  const cri::ContainerConfig& config = creation.config;
  stage.Enter("resolve image");
  ASSIGN_OR_RETURN(const std::string image_name, OpenCheckpoint(creation, context));
  ASSIGN_OR_RETURN(creation.image, parts_.images->RefImage(image_name, container.id));
  const image::Image& image = *creation.image;
  if (image::IsArtifact(image)) {
    return Fail(Code::kInvalidArgument, "image ", config.image().image(),
                " is an artifact: it can be mounted, not run");
  }
  container.image_id = image.id;
  container.image_name = ImageName(config, image);
  container.image_ref = image.repo_digests.empty() ? image.id : image.repo_digests.front();
  for (const image::Digest& chain_id : image.chain_ids) container.chain_ids.push_back(chain_id.str());
  container.copied_owners = CopiedOwners(creation.pod);
  ASSIGN_OR_RETURN(container.stop_signal,
                   StopSignal(static_cast<int>(config.stop_signal()), creation.image->config.stop_signal));
  const auto& namespaces = NamespacesOf(config, creation.pod);
  container.own_pid_namespace = namespaces.pid() == cri::CONTAINER;
  if (namespaces.pid() == cri::TARGET) {
    ASSIGN_OR_RETURN(const auto target, Find(namespaces.target_id()), "namespace_options.target_id");
    if (target->sandbox_id != creation.pod.id || target->state != State::kRunning) {
      return Fail(Code::kInvalidArgument, "namespace_options.target_id: container ", target->id,
                  " is not running in this pod");
    }
    ASSIGN_OR_RETURN(creation.target, base::OpenProcess(target->process.pid, target->process.start_time),
                     "namespace_options.target_id");
    creation.target_namespace = base::Cat("/proc/", target->process.pid, "/ns/pid");
  }

  if (HasSelinux()) creation.labels = LabelsOf(config.linux().security_context(), creation.pod.selinux_label);
  RETURN_IF_ERROR(PrepareRoot(creation, context, stage));
  if (!config.mounts().empty()) stage.Enter("volumes");
  ASSIGN_OR_RETURN(creation.volumes,
                   MountImageVolumes(config, *parts_.images, creation.pod, creation.labels.files, container.id,
                                     Bundle(container.id) / "volumes", *creation.live->ledger, context));
  container.volume_images = creation.volumes.image_ids;
  KeepVolumeLayers(creation);
  ASSIGN_OR_RETURN(creation.bound, BindSources(config, creation.pod, Bundle(container.id) / "bound",
                                               *creation.live->ledger, *parts_.paths, context));
  stage.Enter("config.json");
  RETURN_IF_ERROR(WriteBundle(creation, context));

  // The record's fsync costs milliseconds on a disk: it runs beside the runtime's create.
  base::Beside record(*parts_.disk,
                      [this, copy = container] { return store_.Insert(copy.id, copy, base::Durability::kDurable); });
  base::Status launched = Launch(creation, context, stage);
  if (launched) stage.Enter("record");
  base::Status recorded = record.Join();
  RETURN_IF_ERROR(std::move(launched));
  RETURN_IF_ERROR(std::move(recorded));

  // Given up meanwhile: its name may be another's by now.
  RETURN_IF_ERROR(context.Check("CreateContainer"));
  // While the target lives its pid is its own: the namespace joined through /proc was the right one.
  pollfd target{creation.target.get(), POLLIN, 0};
  if (creation.target && poll(&target, 1, 0) != 0) {
    return Fail(Code::kFailedPrecondition, "namespace_options.target_id: container ", namespaces.target_id(),
                " ended meanwhile");
  }
  stage.Enter("publish");
  live_.With([&](auto& all) { all[container.id] = creation.live; });
  base::UniqueFd watched;
  if (!container.restored) {
    ASSIGN_OR_RETURN(watched, base::OpenProcess(container.process.pid, container.process.start_time));
  }
  const auto complete = [&](const Container& old) -> base::Result<Container> {
    Container finished = old;
    finished.monitor = container.monitor;
    finished.process = container.process;
    return finished;
  };
  if (auto kept = store_.Update(container.id, complete, state::Persist::kBestEffort); !kept)
    return tl::make_unexpected(kept.error());
  // After the whole record: a crash in between undoes what nobody was told of, instead of showing half of it.
  RETURN_IF_ERROR(creation.live->ledger->Own());
  if (!container.restored) {
    watch_.Watch({.id = container.id,
                  .monitor = creation.monitor.Release(),
                  .process = std::move(watched),
                  .exit_file = ExitFile(container.id),
                  .socket = MonitorSocket(container.id)});
  }
  const auto show = [](const Container& old) -> base::Result<Container> {
    Container shown = old;
    shown.creating = false;
    return shown;
  };
  if (auto shown = store_.Update(container.id, show, state::Persist::kBestEffort); !shown)
    return tl::make_unexpected(shown.error());
  // Asked last: a pod that is stopped from now on finds this container and stops it.
  if (!creation.pod.ready())
    return Fail(Code::kFailedPrecondition, "sandbox ", creation.pod.id, " is not ready any more");
  return {};
}

base::Status Containers::PrepareRoot(Creation& creation, const base::Context& context, state::Stage& stage) {
  stage.Enter("layers");
  const std::string& id = creation.container.id;
  const base::Path state_folder = StateFolder(id);
  const base::Path bundle = Bundle(id);
  const base::Path rootfs = bundle / "rootfs";
  state::Ledger& ledger = *creation.live->ledger;
  RETURN_IF_ERROR(ledger.Intend({.kind = "folder", .target = bundle.native()}));
  RETURN_IF_ERROR(base::MakeDirs(rootfs, 0711));
  if (creation.pod.user_namespace) RETURN_IF_ERROR(LetThrough(RunFolder(id)));
  RETURN_IF_ERROR(base::MakeDirs(state_folder / "upper", 0755));
  RETURN_IF_ERROR(base::MakeDirs(state_folder / "work", 0700));
  if (parts_.quota != nullptr) CountUsage(state_folder / "upper", state_folder / "work");

  ASSIGN_OR_RETURN(const auto lower, LowerFolders(*parts_.images, *creation.image, creation.pod, id, context));
  RETURN_IF_ERROR(image::PrepareUpper(state_folder / "upper", lower.front()));
  if (creation.archive) {
    stage.Enter("unpack checkpoint");
    RETURN_IF_ERROR(Unpack(creation, lower, context));
  }
  stage.Enter("mount root");
  RETURN_IF_ERROR(ledger.Intend({.kind = "mount", .target = rootfs.native()}));
  RETURN_IF_ERROR(kernel::MountOverlay({.lower = lower,
                                        .upper = state_folder / "upper",
                                        .work = state_folder / "work",
                                        .target = rootfs,
                                        .empty = parts_.images->empty_folder(),
                                        .label = creation.labels.files}));

  stage.Enter("user and folders");
  ASSIGN_OR_RETURN(const base::UniqueFd root, base::Open(rootfs, O_PATH | O_DIRECTORY));
  RETURN_IF_ERROR(RemoveDeleted(root.get(), creation.checkpoint.deleted));
  ASSIGN_OR_RETURN(creation.user,
                   ResolveUser(root.get(), creation.config.linux().security_context(), creation.image->config.user));
  creation.container.uid = creation.user.uid;
  creation.container.gid = creation.user.gid;
  creation.container.groups = creation.user.groups;
  // The image's volumes become plain folders of the writable layer; the working directory is made when it is missing.
  for (const std::string& volume : creation.image->config.volumes) {
    // What is mounted there may be a file.
    if (IsCovered(creation.config, volume)) continue;
    RETURN_IF_ERROR(MakeFolders(root.get(), volume, creation.pod), "image volume ", volume);
  }
  ASSIGN_OR_RETURN(const std::string cwd, WorkingDirectory(creation.config, creation.image->config));
  RETURN_IF_ERROR(MakeFolders(root.get(), cwd, creation.pod), "working_dir");
  return context.Check("CreateContainer");
}

// What fails leaves a folder that has to be walked, and stops nothing. Files are renamed from `work` into `upper`,
// which a file system allows into a folder with a project only from one with the same: so `work` goes first.
void Containers::CountUsage(const base::Path& upper, const base::Path& work) {
  const auto id = parts_.quota->NewId();
  if (id && kernel::ProjectQuota::Assign(work, *id)) (void)kernel::ProjectQuota::Assign(upper, *id);
}

// From now on the container itself keeps the layers of its image and of its volumes' images, after a restart too.
void Containers::KeepVolumeLayers(Creation& creation) {
  if (creation.volumes.image_ids.empty()) return;
  std::vector<image::Digest> all = creation.image->chain_ids;
  for (const image::Digest& chain_id : creation.volumes.chain_ids) {
    all.push_back(chain_id);
    creation.container.chain_ids.push_back(chain_id.str());
  }
  parts_.images->RefLayers(creation.container.id, all);
  ReleaseVolumeImages(creation.config, *parts_.images, creation.container.id);
}

base::Status Containers::WriteBundle(Creation& creation, const base::Context& context) {
  Container& container = creation.container;
  const base::Path bundle = Bundle(container.id);
  RETURN_IF_ERROR(RelabelVolumes(creation.config, creation.labels.files, *parts_.paths, context));
  SpecOptions options = parts_.spec;
  ASSIGN_OR_RETURN(const oci::Features features, creation.runtime->GetFeatures(context));
  options.oci_version = features.oci_version;
  if (const auto handler = parts_.handlers.find(container.runtime); handler != parts_.handlers.end())
    options.handler = handler->second;
  options.mounts.recursive_read_only = features.recursive_read_only;
  options.mounts.image_volumes = creation.volumes.sources;
  options.mounts.bound = creation.bound;
  ASSIGN_OR_RETURN(creation.spec, BuildSpec({.config = creation.config,
                                             .pod = creation.pod,
                                             .image = creation.image->config,
                                             .user = creation.user,
                                             .container_id = container.id,
                                             .image_name = container.image_name,
                                             .rootfs = bundle / "rootfs",
                                             .cgroups_path = container.cgroups_path,
                                             .labels = creation.labels,
                                             .target_namespace = creation.target_namespace},
                                            options, *parts_.paths, context));
  if (creation.pod.user_namespace && features.version.starts_with("runc"))
    BindRenamedDevices(creation.config, creation.spec);
  // Vendors' edits come last: they are made for a container that is otherwise complete.
  ASSIGN_OR_RETURN(const auto devices, CdiNames(creation.config));
  if (!devices.empty()) {
    if (parts_.cdi == nullptr)
      return Fail(Code::kUnimplemented, "CDI_devices: no folders of specifications are configured");
    RETURN_IF_ERROR(parts_.cdi->Apply(devices, creation.spec, *parts_.paths, context));
  }
  if (creation.archive) RETURN_IF_ERROR(FitCheckpoint(creation));
  if (creation.spec.process.apparmor_profile == kApparmorDefault) RETURN_IF_ERROR(parts_.apparmor->Load(context));
  RETURN_IF_ERROR(base::WriteFile(bundle / "config.json", oci::ToJson(creation.spec)));
  // ExecSync's template.
  RETURN_IF_ERROR(base::WriteFile(bundle / "process.json", oci::ToJson(creation.spec.process)));
  if (!container.log_path.empty()) {
    ASSIGN_OR_RETURN(const auto folder, parts_.paths->EnsureFolder(container.log_path.parent_path(), 0755, context),
                     "log folder");
    (void)folder;
  }
  return {};
}

base::Status Containers::Launch(Creation& creation, const base::Context& context, state::Stage& stage) {
  stage.Enter("monitor cgroup");
  Container& container = creation.container;
  state::Ledger& ledger = *creation.live->ledger;
  const std::string& parent =
      parts_.monitor_parent.empty() ? creation.pod.cgroup_parent : parts_.monitor_parent.native();
  const std::string place = CgroupsPath(parent, "berth-monitor", container.id, parts_.systemd_cgroup);
  RETURN_IF_ERROR(ledger.Intend({.kind = "cgroup", .target = place}));
  RETURN_IF_ERROR(ledger.Intend({.kind = "oci",
                                 .target = container.id,
                                 .details = {{"runtime", container.runtime}, {"cgroup", container.cgroups_path}}}));
  if (container.restored) {
    RETURN_IF_ERROR(ledger.Intend({.kind = "mount", .target = creation.runtime->RestoreMount(container.id).native()}));
    return {};
  }
  ASSIGN_OR_RETURN(conmon::Launched launched, RunMonitor(container, *creation.runtime, place, context, stage));
  creation.monitor = std::move(launched.monitor);
  container.monitor = {.pid = creation.monitor.pid(), .start_time = launched.monitor_start_time};
  container.process = {.pid = launched.pid, .start_time = launched.start_time};
  ASSIGN_OR_RETURN(creation.live->process, base::OpenProcess(launched.pid, launched.start_time));
  return {};
}

base::Error Containers::Abandon(Creation& creation, base::Error cause) {
  const std::string& id = creation.container.id;
  live_.With([&](auto& all) { all.erase(id); });
  // The caller's context may have ended; undoing has time of its own.
  const state::UndoReport undone =
      creation.live->ledger->Undo(*parts_.undoers, life_.WithTimeout(std::chrono::seconds(30)));
  if (!undone.complete()) {
    cause.clean_up = undone.Text();
    parts_.leftovers->Add(id, creation.live->ledger, undone.Text());
  }
  ReleaseVolumeImages(creation.config, *parts_.images, id);
  if (base::Status erased = store_.Erase(id); !erased) cause.clean_up += erased.error().message;
  Discard(id);
  return cause;
}

}  // namespace berth::container
