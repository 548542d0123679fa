#include "server/reply_size.h"

#include <array>
#include <string>
#include <utility>

#include "base/strings.h"

namespace berth::server {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kStreams = {{
    {"ListPodSandbox", "StreamPodSandboxes"},
    {"ListContainers", "StreamContainers"},
    {"ListContainerStats", "StreamContainerStats"},
    {"ListPodSandboxStats", "StreamPodSandboxStats"},
    {"ListPodSandboxMetrics", "StreamPodSandboxMetrics"},
    {"ListImages", "StreamImages"},
}};

}  // namespace

base::Status FitsMessage(std::string_view method, size_t bytes, size_t most) {
  if (bytes <= most) return {};
  std::string way;
  for (const auto& [list, stream] : kStreams) {
    if (list == method) way = base::Cat("; ", stream, " sends the same in pieces");
  }
  return base::Fail(base::Code::kResourceExhausted, "the answer has ", bytes, " bytes, a message at most ", most,
                    " (grpc.max_message)", way);
}

}  // namespace berth::server
