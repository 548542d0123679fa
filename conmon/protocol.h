// What berthd and a monitor say to each other. All of it stays on one machine, so numbers are in host order; every
// message has a fixed layout and carries the protocol's version.
//
// Sync pipe: one SyncMessage from the monitor, saying how the OCI runtime's create went.
//
// Control socket (SOCK_SEQPACKET, peers with our own uid or 0): one Request a packet, answered by one Reply with the
// same type and id. After kSubscribe one more Reply of type kExit and id 0 comes when the container's end is known:
// when its record is durable, or at once with durable = 0 while the disk refuses it. A malformed packet is answered
// with type kMalformed and error EBADMSG. A connection that does not take its replies is closed.
//
// Attach (the SOCK_SEQPACKET descriptor that comes with the reply to kAttach): packets of one AttachFrame byte and up
// to kAttachDataLimit bytes. Towards the monitor: kStdin; shutdown(SHUT_WR) ends stdin. What is sent when the container
// has no stdin, or none any more, fails with EPIPE. Towards the client: kStdout and kStderr, and one last kEnded before
// an orderly close. A close without kEnded means that the client was too slow and was dropped, or that the monitor
// died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "conmon/exit_record.h"

namespace berth::conmon {

inline constexpr uint16_t kProtocolVersion = 1;

enum class MessageType : uint16_t {
  kHello = 1,      // answered with the status, as everything is
  kReopenLog = 2,  // answered once new records go to a newly opened file; on error the old one stays in use
  kResize = 3,     // a = columns, b = rows; ENOTTY without a terminal
  kAttach =
      4,  // a = AttachFlags; the reply carries the descriptor; ESRCH after the end, EAGAIN when all slots are taken
  kCloseStdin = 5,  // what was accepted is still delivered first; ENOTTY for a terminal, EPIPE without stdin
  kSubscribe = 6,
  kStatus = 7,
  kAcknowledge = 8,  // the asker has the exit record: the monitor need not keep it although it is not durable
  kExit = 9,         // from the monitor alone
  kMalformed = 10,   // from the monitor alone
};

enum AttachFlags : uint32_t { kAttachStdin = 1, kAttachStdout = 2, kAttachStderr = 4 };
enum class AttachFrame : uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kEnded = 3 };
inline constexpr size_t kAttachDataLimit = 16384;

struct Request {
  uint16_t version = kProtocolVersion;
  MessageType type = MessageType::kHello;
  uint32_t id = 0;
  uint32_t a = 0;
  uint32_t b = 0;
};
static_assert(sizeof(Request) == 16);

struct Reply {
  uint16_t version = kProtocolVersion;
  MessageType type = MessageType::kHello;
  uint32_t id = 0;
  int32_t error = 0;             // errno, 0 for success
  int32_t pid = 0;               // the container's first process
  uint64_t start_time = 0;       // clock ticks after boot, /proc/PID/stat field 22
  uint64_t dropped = 0;          // log records lost so far
  uint64_t oom_kills = 0;        // last value seen
  uint32_t attached = 0;         // attach clients now
  uint32_t dropped_clients = 0;  // attach clients that were too slow
  uint8_t exited = 0;            // 1: the four below are valid
  uint8_t durable = 0;           // 1: the exit file holds them
  uint8_t unused[2] = {};
  int32_t code = 0;
  int32_t signal = 0;
  uint32_t unused2 = 0;
  int64_t finished_at = 0;
};
static_assert(sizeof(Reply) == 72);

inline constexpr size_t kSyncTextLimit = 3072;
struct SyncMessage {
  uint16_t version = kProtocolVersion;
  uint8_t ok = 0;         // 1: pid and start_time are valid; 0: the rest is
  uint8_t timed_out = 0;  // create did not end in time and was killed
  int32_t pid = 0;
  uint64_t start_time = 0;
  int32_t exit_code = 0;  // of the runtime; -1 when it did not run
  uint32_t text_length = 0;
  char text[kSyncTextLimit] = {};
};
static_assert(sizeof(SyncMessage) <= 4096);  // PIPE_BUF: arrives whole or not at all

// Checks length, version, type and arguments. Nothing for what a monitor must not act on.
std::optional<Request> DecodeRequest(std::span<const std::byte> packet);
// Nothing for anything that is not one whole reply of this version.
std::optional<Reply> DecodeReply(std::span<const std::byte> packet);
std::optional<SyncMessage> DecodeSync(std::span<const std::byte> content);

// The record of a reply with exited = 1.
ExitRecord RecordOf(const Reply& reply);

}  // namespace berth::conmon
