#include "conmon/control.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

namespace berth::conmon {

bool ControlServer::Start() {
  return poller_.Add(listener_.get(), EPOLLIN, Source::kListen);
}

void ControlServer::OnAccept() {
  base::UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  if (peer.uid != 0 && peer.uid != geteuid()) return;
  for (uint32_t i = 0; i < kControlLimit; ++i) {
    if (connection_[i].fd) continue;
    if (poller_.Add(fd.get(), EPOLLIN, Source::kControl, i)) connection_[i] = {std::move(fd), false};
    return;
  }
}

void ControlServer::OnReadable(uint32_t index) {
  if (index >= kControlLimit || !connection_[index].fd) return;
  std::byte packet[sizeof(Request) + 1];
  ssize_t got = 0;
  do got = recv(connection_[index].fd.get(), packet, sizeof packet, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return Close(index);
  if (const auto request = DecodeRequest({packet, static_cast<size_t>(got)})) return Answer(index, *request);
  Reply reply;
  reply.type = MessageType::kMalformed;
  reply.error = EBADMSG;
  Send(index, reply, -1);
}

void ControlServer::Answer(uint32_t index, const Request& request) {
  Reply reply;
  base::UniqueFd passed;
  handler_.Handle(request, reply, passed);
  reply.type = request.type;
  reply.id = request.id;
  Send(index, reply, passed.get());
  if (request.type != MessageType::kSubscribe || !connection_[index].fd) return;
  connection_[index].subscribed = true;
  if (reply.exited != 0) SendExit(index);
}

void ControlServer::NotifyExit() {
  for (uint32_t i = 0; i < kControlLimit; ++i) {
    if (connection_[i].fd && connection_[i].subscribed) SendExit(i);
  }
}

void ControlServer::SendExit(uint32_t index) {
  Reply notice;
  handler_.Describe(notice);
  notice.type = MessageType::kExit;
  Send(index, notice, -1);
}

void ControlServer::Send(uint32_t index, const Reply& reply, int passed) {
  iovec part = {const_cast<Reply*>(&reply), sizeof reply};  // NOLINT: iovec has no const form
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (passed >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  }
  ssize_t sent = 0;
  do sent = sendmsg(connection_[index].fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) Close(index);
}

void ControlServer::Close(uint32_t index) {
  poller_.Remove(connection_[index].fd.get());
  connection_[index] = {};
}

}  // namespace berth::conmon
