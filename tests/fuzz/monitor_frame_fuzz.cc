// Everything that berthd and its monitors read from each other or from files that a crash may have left: requests,
// replies, sync messages, exit records and the runtime's log. The first byte chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "conmon/client.h"

namespace conmon = berth::conmon;

namespace {

void CheckExitRecord(std::string_view text) {
  const auto record = conmon::ParseExitRecord(text);
  if (!record) return;
  char out[conmon::kExitRecordLimit];
  const size_t size = conmon::FormatExitRecord(*record, out);
  const auto again = conmon::ParseExitRecord({out, size});
  if (!again || *again != *record) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      if (const auto request = conmon::DecodeRequest(bytes); request && request->version != conmon::kProtocolVersion)
        std::abort();
      break;
    case 1:
      if (const auto reply = conmon::DecodeReply(bytes)) (void)conmon::RecordOf(*reply);
      break;
    case 2:
      if (const auto sync = conmon::DecodeSync(bytes); sync && sync->text_length > conmon::kSyncTextLimit) std::abort();
      break;
    case 3:
      CheckExitRecord(text);
      break;
    default:
      (void)conmon::RuntimeErrorText(text);
      break;
  }
  return 0;
}
