#include "conmon/protocol.h"

#include <cstring>

namespace berth::conmon {
namespace {

template <typename Message>
std::optional<Message> Whole(std::span<const std::byte> bytes) {
  if (bytes.size() != sizeof(Message)) return std::nullopt;
  Message message;
  std::memcpy(&message, bytes.data(), sizeof message);
  if (message.version != kProtocolVersion) return std::nullopt;
  return message;
}

constexpr uint32_t kTerminalSizeMax = UINT16_MAX;  // struct winsize
constexpr uint32_t kAllStreams = kAttachStdin | kAttachStdout | kAttachStderr;

}  // namespace

std::optional<Request> DecodeRequest(std::span<const std::byte> packet) {
  const auto request = Whole<Request>(packet);
  if (!request) return std::nullopt;
  switch (request->type) {
    case MessageType::kResize:
      if (request->a > kTerminalSizeMax || request->b > kTerminalSizeMax) return std::nullopt;
      return request;
    case MessageType::kAttach:
      if (request->a == 0 || (request->a & ~kAllStreams) != 0) return std::nullopt;
      return request;
    case MessageType::kHello:
    case MessageType::kReopenLog:
    case MessageType::kCloseStdin:
    case MessageType::kSubscribe:
    case MessageType::kStatus:
    case MessageType::kAcknowledge:
      return request;
    case MessageType::kExit:
    case MessageType::kMalformed:
      break;
  }
  return std::nullopt;
}

std::optional<Reply> DecodeReply(std::span<const std::byte> packet) {
  return Whole<Reply>(packet);
}

std::optional<SyncMessage> DecodeSync(std::span<const std::byte> content) {
  auto message = Whole<SyncMessage>(content);
  if (!message || message->text_length > kSyncTextLimit) return std::nullopt;
  if (message->ok != 0 && message->pid <= 0) return std::nullopt;
  return message;
}

ExitRecord RecordOf(const Reply& reply) {
  return {.code = reply.code,
          .signal = reply.signal,
          .oom_kills = reply.oom_kills,
          .dropped = reply.dropped,
          .finished_at = reply.finished_at};
}

}  // namespace berth::conmon
