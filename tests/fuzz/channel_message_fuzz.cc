// What a WebSocket client sends: messages of every version and form, and sizes of terminals in pieces. The first byte
// chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/streaming/resize.h"
#include "server/streaming/websocket_channels.h"

namespace streaming = berth::streaming;

namespace {

void CheckMessage(const streaming::ChannelProtocol& protocol, std::string_view text) {
  const auto message = streaming::DecodeMessage(protocol, std::string(text), protocol.base64);
  if (!message || message->close || text.empty()) return;
  if (protocol.base64 && message->channel > 9) std::abort();
  const auto again =
      streaming::DecodeMessage({.version = 1, .base64 = protocol.base64},
                               streaming::EncodeMessage(protocol, message->channel, message->data), protocol.base64);
  if (!again || again->channel != message->channel || again->data != message->data) std::abort();
}

void CheckSizes(std::string_view text, size_t piece) {
  streaming::ResizeReader whole;
  streaming::ResizeReader cut;
  const auto size = whole.Feed(text);
  std::optional<streaming::TerminalSize> last;
  for (size_t at = 0; at < text.size(); at += piece) {
    if (const auto next = cut.Feed(text.substr(at, piece))) last = next;
  }
  if (size != last || whole.broken() != cut.broken()) std::abort();
  if (size && (size->columns == 0 || size->rows == 0)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      CheckMessage({.version = 5}, text);
      break;
    case 1:
      CheckMessage({.version = 4}, text);
      break;
    case 2:
      CheckMessage({.version = 4, .base64 = true}, text);
      break;
    default:
      CheckSizes(text, 1 + data[0] / 4);
      break;
  }
  return 0;
}
