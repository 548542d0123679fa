// A container as everybody reads it: an immutable value. What changes it makes a new one (state::Store::Update).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "container/state.h"
#include "cri-proto/cri.h"

namespace berth::container {

struct Exit {
  int32_t code = 0;
  int64_t finished_at = 0;  // Unix nanoseconds
  std::string reason;       // "Completed", "Error", "OOMKilled", "StartError", "MonitorLost", "Unknown"
  std::string message;
};

// A process that outlives the daemon. Trusted only while the boot id is the same and the start time still matches.
struct ProcessRef {
  pid_t pid = 0;  // 0: none
  uint64_t start_time = 0;
};

struct Container {
  std::string id;
  std::string sandbox_id;
  std::shared_ptr<const cri::ContainerConfig> config;  // as the caller sent it; linux.resources as last updated
  std::string request_digest;                          // of the whole request: a retry is recognised by it

  // The image as it was at creation: it may be untagged or deleted since, and the kubelet still asks.
  std::string image_id;
  std::string image_name;              // first tag, else what the user specified, else the id
  std::string image_ref;               // name@digest if known, else the id
  std::vector<std::string> chain_ids;  // the layers in use, lowest first, then those of volumes

  std::string copied_owners;  // image::OwnersText of the copies of these layers that are in use; empty: none are

  std::vector<std::string> volume_images;  // ids, in the order of the mounts that have an image

  std::string runtime;       // runtime handler's name, never empty
  std::string cgroups_path;  // as in config.json; empty when the runtime chose
  base::Path log_path;       // absolute; empty: output is discarded
  int stop_signal = 15;      // Linux number
  int64_t uid = 0;
  int64_t gid = 0;
  std::vector<int64_t> groups;
  bool own_pid_namespace = true;
  bool restored = false;  // from a checkpoint: there is neither monitor nor process before StartContainer

  int64_t created_at = 0;  // Unix nanoseconds
  int64_t started_at = 0;
  bool creating = false;  // CreateContainer has not succeeded yet: not to be shown. Not recorded: a ledger that is not
                          // owned says the same after a restart
  State state = State::kCreated;
  Exit exit;            // meaningful in kExited
  std::string boot_id;  // of the boot that the processes below belong to
  ProcessRef process;
  ProcessRef monitor;
};

// The record on disk: JSON with a version. Decode never crashes on foreign bytes.
std::string Encode(const Container& container);
base::Result<Container> Decode(std::string_view text);

// The same container in another state; kFailedPrecondition when CanChange says no.
base::Result<Container> WithState(const Container& container, State state);

}  // namespace berth::container
