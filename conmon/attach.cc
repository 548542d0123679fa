#include "conmon/attach.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace berth::conmon {
namespace {

// Kernel memory, charged only while it is filled.
constexpr int kClientBuffer = 1 << 20;

constexpr uint32_t kInput = EPOLLIN;
constexpr uint32_t kNothing = 0;  // hang-ups are reported nevertheless

ssize_t SendFrame(int fd, AttachFrame frame, std::span<const char> data) {
  auto kind = static_cast<uint8_t>(frame);
  iovec parts[2] = {{&kind, 1}, {const_cast<char*>(data.data()), data.size()}};  // NOLINT: iovec has no const form
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = data.empty() ? 1 : 2;
  ssize_t sent = 0;
  do sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace

void AttachHub::SetStdin(base::UniqueFd fd, bool terminal, bool once) {
  stdin_ = std::move(fd);
  terminal_ = terminal;
  once_ = once && !terminal;
}

int AttachHub::Attach(uint32_t flags, base::UniqueFd& out) {
  uint32_t index = 0;
  while (index < kAttachLimit && client_[index].fd) ++index;
  if (index == kAttachLimit) return EAGAIN;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return errno;
  base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  if (setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kClientBuffer, sizeof kClientBuffer) != 0) {
    setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &kClientBuffer, sizeof kClientBuffer);
  }
  const bool reads = (flags & kAttachStdin) != 0 && stdin_.valid() && !close_when_drained_;
  if ((flags & kAttachStdin) != 0 && !reads) shutdown(ours.get(), SHUT_RD);
  // While stdin is paused, Resume adds those that read.
  if (!(reads && paused()) && !poller_.Add(ours.get(), reads ? kInput : kNothing, Source::kAttach, index)) return errno;
  client_[index] = {std::move(ours), flags, reads};
  ++clients_;
  out = std::move(theirs);
  return 0;
}

void AttachHub::Broadcast(AttachFrame stream, std::span<const char> data) {
  if (clients_ == 0) return;
  const uint32_t wanted = stream == AttachFrame::kStdout ? kAttachStdout : kAttachStderr;
  for (uint32_t i = 0; i < kAttachLimit; ++i) {
    if (!client_[i].fd || (client_[i].flags & wanted) == 0) continue;
    for (std::span<const char> rest = data; !rest.empty();) {
      const auto piece = rest.first(std::min(rest.size(), kAttachDataLimit));
      if (SendFrame(client_[i].fd.get(), stream, piece) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) ++dropped_;
        Close(i);
        break;
      }
      rest = rest.subspan(piece.size());
    }
  }
}

void AttachHub::OnClient(uint32_t index, uint32_t events) {
  if (index >= kAttachLimit || !client_[index].fd) return;
  if ((events & EPOLLIN) != 0 && client_[index].reads && !paused()) return Receive(index);
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !(client_[index].reads && paused())) Close(index);
}

void AttachHub::Receive(uint32_t index) {
  ssize_t got = 0;
  do got = recv(client_[index].fd.get(), memory_.bytes, sizeof memory_.bytes, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno != EAGAIN) Close(index);
    return;
  }
  if (got == 0) return ClientEnded(index);
  const bool sound =
      memory_.bytes[0] == static_cast<char>(AttachFrame::kStdin) && static_cast<size_t>(got) <= 1 + kAttachDataLimit;
  if (!sound) return Close(index);
  at_ = 1;
  left_ = static_cast<size_t>(got) - 1;
  if (left_ == 0) return;
  Pump();
  if (paused()) Pause();
}

void AttachHub::ClientEnded(uint32_t index) {
  client_[index].reads = false;
  if (once_) {
    ShutStdin();
    // It stays for the output; only its complete end is of interest now.
    if (client_[index].fd) poller_.Change(client_[index].fd.get(), kNothing, Source::kAttach, index);
    return;
  }
  Finish(index);
}

void AttachHub::Finish(uint32_t index) {
  SendFrame(client_[index].fd.get(), AttachFrame::kEnded, {});
  Close(index);
}

void AttachHub::Close(uint32_t index) {
  poller_.Remove(client_[index].fd.get());
  client_[index] = {};
  --clients_;
}

void AttachHub::Pump() {
  while (left_ > 0 && stdin_) {
    const ssize_t wrote = write(stdin_.get(), memory_.bytes + at_, left_);
    if (wrote > 0) {
      at_ += static_cast<size_t>(wrote);
      left_ -= static_cast<size_t>(wrote);
    } else if (wrote < 0 && errno == EAGAIN) {
      return;
    } else if (wrote == 0 || errno != EINTR) {
      left_ = 0;
      return ShutStdin();  // nobody reads it any more
    }
  }
  if (close_when_drained_) ShutStdin();
}

void AttachHub::OnStdin() {
  if (!paused()) return;
  Pump();
  if (!paused()) Resume();
}

void AttachHub::Pause() {
  // A descriptor left in the set would report a hang-up again and again while its data cannot be taken.
  for (Client& client : client_) {
    if (client.fd && client.reads) poller_.Remove(client.fd.get());
  }
  poller_.Add(stdin_.get(), EPOLLOUT, Source::kStdin);
}

void AttachHub::Resume() {
  if (stdin_) poller_.Remove(stdin_.get());
  for (uint32_t i = 0; i < kAttachLimit; ++i) {
    if (client_[i].fd && client_[i].reads) poller_.Add(client_[i].fd.get(), kInput, Source::kAttach, i);
  }
}

int AttachHub::CloseStdin() {
  if (terminal_) return ENOTTY;
  if (!stdin_) return EPIPE;
  if (paused())
    close_when_drained_ = true;
  else
    ShutStdin();
  return 0;
}

void AttachHub::ShutStdin() {
  if (!stdin_) return;
  poller_.Remove(stdin_.get());
  stdin_.Reset();
  // Clients that still send are heard no more; they stay for the output.
  for (uint32_t i = 0; i < kAttachLimit; ++i) {
    if (!client_[i].fd || !client_[i].reads) continue;
    client_[i].reads = false;
    shutdown(client_[i].fd.get(), SHUT_RD);
    // What is queued would keep its sender waiting for room, for ever; nothing is pending in memory_ any more.
    while (recv(client_[i].fd.get(), memory_.bytes, sizeof memory_.bytes, MSG_DONTWAIT) > 0) {
    }
    poller_.Remove(client_[i].fd.get());
    poller_.Add(client_[i].fd.get(), kNothing, Source::kAttach, i);
  }
}

void AttachHub::End() {
  left_ = 0;
  for (uint32_t i = 0; i < kAttachLimit; ++i) {
    if (client_[i].fd) Finish(i);
  }
  ShutStdin();
}

}  // namespace berth::conmon
