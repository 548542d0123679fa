#include <unistd.h>

#include "base/strings.h"
#include "server/handlers.h"

namespace berth::server {
namespace {

using base::Code;
using base::Fail;

bool HasCriu() {
  for (const char* folder : {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}) {
    if (access((base::Path(folder) / "criu").c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace

// The request is judged as far as it can be, so that a caller learns of its own mistakes first.
base::Result<cri::CheckpointContainerResponse> CheckpointContainer(Services& services,
                                                                   const cri::CheckpointContainerRequest& request,
                                                                   const base::Context&) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  if (!request.location().starts_with('/')) return Fail(Code::kInvalidArgument, "location is not an absolute path");
  if (request.timeout() < 0) return Fail(Code::kInvalidArgument, "timeout is negative");
  if (container->state != container::State::kRunning) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is not running");
  }
  if (!HasCriu())
    return Fail(Code::kUnimplemented, "CheckpointContainer needs CRIU, and criu is not installed on this node");
  return Fail(Code::kUnimplemented, "CheckpointContainer: this version of berth writes no checkpoint archives");
}

}  // namespace berth::server
