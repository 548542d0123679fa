#include "conmon/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "conmon/passed_descriptor.h"
#include "conmon/unix_address.h"

namespace berth::conmon {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;

tl::unexpected<base::Error> Unavailable(int error, std::string_view what) {
  base::Error out = FailErrno(error, "monitor: ", what).value();
  out.code = Code::kUnavailable;
  return tl::make_unexpected(std::move(out));
}

struct Packet {
  Reply reply;
  UniqueFd passed;
};

// The next packet; nothing when there is none yet.
Result<std::optional<Packet>> Receive(int fd) {
  std::byte bytes[sizeof(Reply) + 1];
  Packet packet;
  const ssize_t got = ReceiveWithDescriptor(fd, bytes, sizeof bytes, packet.passed);
  if (got < 0 && errno == EAGAIN) return std::optional<Packet>();
  if (got < 0) return Unavailable(errno, "receive");
  if (got == 0) return Fail(Code::kUnavailable, "monitor: connection closed");
  const auto reply = DecodeReply({bytes, static_cast<size_t>(got)});
  if (!reply) return Fail(Code::kInternal, "monitor: reply of ", got, " bytes that this version does not know");
  packet.reply = *reply;
  return packet;
}

Status Refusal(int error) {
  base::Error out = FailErrno(error, "monitor").value();
  switch (error) {
    case ESRCH:
      out = {.code = Code::kFailedPrecondition, .message = "container is not running", .err = error};
      break;
    case ENOTTY:
    case EPIPE:
    case EBUSY:
      out.code = Code::kFailedPrecondition;
      break;
    case EAGAIN:
      out = {.code = Code::kResourceExhausted, .message = "too many attach clients", .err = error};
      break;
    default:
      break;
  }
  return tl::make_unexpected(std::move(out));
}

}  // namespace

Result<MonitorConnection> MonitorConnection::Connect(const base::Path& socket_path, const base::Context& context) {
  auto folder = base::Open(socket_path.parent_path(), O_PATH | O_DIRECTORY);
  if (!folder) return Unavailable(folder.error().err, socket_path.native());
  const auto address = AddressIn(folder->get(), socket_path.filename().native());
  if (!address) return Fail(Code::kInvalidArgument, "socket ", socket_path.native(), ": name is too long");
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(errno, "make socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Unavailable(errno, socket_path.native());
  }
  MonitorConnection out(std::move(fd));
  ASSIGN_OR_RETURN(out.hello_, out.Call(MessageType::kHello, 0, 0, context));
  return out;
}

Result<Reply> MonitorConnection::Call(MessageType type, uint32_t a, uint32_t b, const base::Context& context,
                                      UniqueFd* passed) {
  const Request request{.type = type, .id = next_id_++, .a = a, .b = b};
  ssize_t sent = 0;
  do sent = send(fd_.get(), &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return Unavailable(errno, "send");
  while (true) {
    ASSIGN_OR_RETURN(auto packet, Receive(fd_.get()));
    if (!packet) {
      RETURN_IF_ERROR(context.Wait(fd_.get(), POLLIN, "monitor"));
      continue;
    }
    if (packet->reply.type == MessageType::kExit) {
      exit_ = packet->reply;
      continue;
    }
    if (packet->reply.type == MessageType::kMalformed)
      return Fail(Code::kInternal, "monitor: did not understand request");
    if (packet->reply.id != request.id) continue;  // of a call whose context had ended
    if (packet->reply.error != 0) return tl::make_unexpected(Refusal(packet->reply.error).error());
    if (passed != nullptr) *passed = std::move(packet->passed);
    return packet->reply;
  }
}

Result<Reply> MonitorConnection::GetStatus(const base::Context& context) {
  return Call(MessageType::kStatus, 0, 0, context);
}

Status MonitorConnection::ReopenLog(const base::Context& context) {
  RETURN_IF_ERROR(Call(MessageType::kReopenLog, 0, 0, context), "reopen log");
  return {};
}

Status MonitorConnection::Resize(uint32_t columns, uint32_t rows, const base::Context& context) {
  if (columns > UINT16_MAX || rows > UINT16_MAX) return Fail(Code::kInvalidArgument, "terminal size is out of range");
  RETURN_IF_ERROR(Call(MessageType::kResize, columns, rows, context), "resize terminal");
  return {};
}

Result<UniqueFd> MonitorConnection::Attach(uint32_t flags, const base::Context& context) {
  UniqueFd out;
  RETURN_IF_ERROR(Call(MessageType::kAttach, flags, 0, context, &out), "attach");
  if (!out) return Fail(Code::kInternal, "attach: monitor sent no descriptor");
  return out;
}

Status MonitorConnection::CloseStdin(const base::Context& context) {
  RETURN_IF_ERROR(Call(MessageType::kCloseStdin, 0, 0, context), "close stdin");
  return {};
}

Status MonitorConnection::Subscribe(const base::Context& context) {
  RETURN_IF_ERROR(Call(MessageType::kSubscribe, 0, 0, context), "subscribe");
  return {};
}

Status MonitorConnection::Acknowledge(const base::Context& context) {
  RETURN_IF_ERROR(Call(MessageType::kAcknowledge, 0, 0, context), "acknowledge exit");
  return {};
}

Result<std::optional<Reply>> MonitorConnection::Poll() {
  if (exit_) return std::exchange(exit_, std::nullopt);
  while (true) {
    ASSIGN_OR_RETURN(auto packet, Receive(fd_.get()));
    if (!packet) return std::optional<Reply>();
    if (packet->reply.type == MessageType::kExit) return std::optional<Reply>(packet->reply);
  }
}

}  // namespace berth::conmon
