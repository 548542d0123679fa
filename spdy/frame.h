// SPDY/3.1 frames as bytes: a reader that takes them in pieces of any size, and writers. Numbers are big-endian on the
// wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::spdy {

enum class FrameType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

inline constexpr uint8_t kFlagFin = 0x01;
inline constexpr uint8_t kFlagUnidirectional = 0x02;
inline constexpr size_t kHeadSize = 8;
inline constexpr uint32_t kMaxStream = 0x7fffffff;
inline constexpr uint32_t kMaxLength = 0xffffff;

enum class ResetStatus : uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kUnsupportedVersion = 4,
  kCancel = 5,
  kInternalError = 6,
  kFlowControlError = 7,
  kStreamInUse = 8,
  kStreamAlreadyClosed = 9,
  kInvalidCredentials = 10,
  kFrameTooLarge = 11,
};
enum class GoAwayStatus : uint32_t { kOk = 0, kProtocolError = 1, kInternalError = 2 };

// One control frame. Which members count is the type's affair: `stream` of all but SETTINGS and PING (of GOAWAY the
// last good stream), `value` of RST_STREAM and GOAWAY (status), PING (id) and WINDOW_UPDATE (delta), `associated` and
// `priority` of SYN_STREAM, `block` (compressed) of SYN_STREAM, SYN_REPLY and HEADERS. What SETTINGS say is of no use
// here.
struct Control {
  FrameType type = FrameType::kPing;
  uint8_t flags = 0;
  uint32_t stream = 0;
  uint32_t value = 0;
  uint32_t associated = 0;
  uint8_t priority = 0;
  std::string_view block;

  bool fin() const { return (flags & kFlagFin) != 0; }
};

// What FrameReader finds. An error ends the reading.
class FrameVisitor {
 public:
  virtual base::Status OnControl(const Control& control) = 0;
  // A piece of a data frame; `fin` comes with its last piece, which may be empty.
  virtual base::Status OnData(uint32_t stream, std::string_view piece, bool fin) = 0;

 protected:
  ~FrameVisitor() = default;
};

// Control frames of unknown types are skipped, as the draft demands. Data is passed on as it comes, so a frame's length
// costs no memory; of control frames `control_limit` bytes are kept and more is an error.
class FrameReader {
 public:
  explicit FrameReader(FrameVisitor& visitor, size_t control_limit = 64 << 10)
      : visitor_(visitor), control_limit_(control_limit) {}

  // Errors are the peer's breach of the protocol (kInvalidArgument) or the visitor's; nothing can be read after one.
  base::Status Feed(std::string_view bytes);

  // The data frame that is being read: its stream, and how much of its content is to come. {0, 0} between frames.
  struct OpenFrame {
    uint32_t stream = 0;
    uint32_t left = 0;
  };
  OpenFrame open_frame() const { return phase_ == Phase::kData ? OpenFrame{stream_, left_} : OpenFrame(); }
  bool between_frames() const { return phase_ == Phase::kHead && kept_.empty(); }
  // So much of that content was taken from the wire by somebody else.
  base::Status Skip(uint32_t size);

 private:
  enum class Phase { kHead, kControl, kSkip, kData };
  base::Status TakeHead();
  base::Status TakeData(std::string_view& bytes);
  base::Status TakeControl(std::string_view& bytes);

  FrameVisitor& visitor_;
  const size_t control_limit_;
  Phase phase_ = Phase::kHead;
  std::string kept_;  // of a head or of a control frame's content
  uint16_t type_ = 0;
  uint8_t flags_ = 0;
  uint32_t stream_ = 0;
  uint32_t left_ = 0;  // bytes of the content that have not come yet
};

// Whole frames but the last, which makes the head alone.
std::string SynStream(uint32_t stream, uint8_t flags, std::string_view block);
std::string SynReply(uint32_t stream, uint8_t flags, std::string_view block);
std::string HeadersFrame(uint32_t stream, uint8_t flags, std::string_view block);
std::string RstStream(uint32_t stream, ResetStatus status);
std::string Ping(uint32_t id);
std::string NoSettings();  // which every peer ignores
std::string GoAway(uint32_t last_good_stream, GoAwayStatus status);
void DataHead(uint32_t stream, uint8_t flags, uint32_t length, char (&out)[kHeadSize]);

}  // namespace berth::spdy
