// Starting a container's monitor, which has the OCI runtime make the container.
#include <fcntl.h>

#include "base/strings.h"
#include "conmon/client.h"
#include "container/checkpoint_archive.h"
#include "container/containers.h"
#include "cri-proto/api.pb.h"

namespace berth::container {

base::Result<conmon::Launched> Containers::RunMonitor(const Container& container, oci::Runtime& runtime,
                                                      const std::string& place, const base::Context& context,
                                                      state::Stage& stage) {
  const base::Path bundle = Bundle(container.id);
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(place));
  conmon::LaunchOptions options{.monitor = parts_.monitor,
                                .id = container.id,
                                .run_folder = bundle,
                                .socket = MonitorSocket(container.id),
                                .exit_file = ExitFile(container.id),
                                .pid_file = bundle / "pid",
                                .runtime_log = bundle / "runtime.log",
                                .log = container.log_path,
                                .log_limit = parts_.log_line_limit,
                                .terminal = container.config->tty(),
                                .stdin_open = container.config->stdin(),
                                .stdin_once = container.config->stdin_once(),
                                .drain = parts_.drain,
                                .environment = runtime.Environment(context)};
  oci::CreateOptions create{.id = container.id,
                            .bundle = bundle,
                            .pid_file = options.pid_file,
                            .log_file = options.runtime_log,
                            .console_socket = options.terminal ? conmon::kConsoleSocketPlaceholder : ""};
  if (container.restored) {
    create.checkpoint = RestoreFolder(container.id) / kImagesFolder;
    create.work = RestoreFolder(container.id);
  }
  options.runtime = runtime.CreateArguments(create);
  base::UniqueFd born_in;
  if (parts_.systemd_cgroup) {
    // systemd takes only processes that run; the runtime works meanwhile.
    options.place = [&](pid_t monitor) {
      return parts_.systemd->StartScope({.name = group.filename(),
                                         .slice = group.parent_path().filename(),
                                         .description = "Monitor of container " + container.id,
                                         .pid = monitor},
                                        context);
    };
  } else {
    // v2: born in a cgroup of its own. v1: one hierarchy is enough to find it again and to keep it out of the daemon's.
    ASSIGN_OR_RETURN(const base::Path folder, parts_.cgroups->Folder(group, "pids"));
    if (parts_.cgroups->unified()) {
      RETURN_IF_ERROR(parts_.cgroups->Create(group));
      ASSIGN_OR_RETURN(born_in, base::Open(folder, O_PATH | O_DIRECTORY));
      options.cgroup = born_in.get();
    } else {
      RETURN_IF_ERROR(base::MakeDirs(folder));
      options.join.push_back(folder);
    }
  }
  // The monitor begins it as soon as it runs.
  stage.Enter(container.restored ? "runtime restore" : "runtime create");
  return conmon::LaunchMonitor(options, context);
}

}  // namespace berth::container
