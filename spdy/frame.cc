#include "spdy/frame.h"

#include <algorithm>
#include <cassert>

namespace berth::spdy {
namespace {

using base::Code;
using base::Fail;

constexpr uint16_t kVersion = 3;

uint32_t Get32(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

void Put32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

std::string Begin(FrameType type, uint8_t flags, size_t length) {
  std::string out;
  out.reserve(kHeadSize + length);
  Put32(out, 0x80000000u | uint32_t{kVersion} << 16 | static_cast<uint16_t>(type));
  Put32(out, uint32_t{flags} << 24 | static_cast<uint32_t>(length));
  return out;
}

std::string WithBlock(FrameType type, uint32_t stream, uint8_t flags, std::string_view block) {
  std::string out = Begin(type, flags, 4 + block.size());
  Put32(out, stream);
  out += block;
  return out;
}

std::string TwoNumbers(FrameType type, uint32_t first, uint32_t second) {
  std::string out = Begin(type, 0, 8);
  Put32(out, first);
  Put32(out, second);
  return out;
}

bool Known(uint16_t type) {
  return type >= 1 && type <= 9 && type != 5;
}

tl::unexpected<base::Error> WrongLength(FrameType type, size_t length) {
  return Fail(Code::kInvalidArgument, "spdy: a frame of type ", static_cast<int>(type), " has the impossible length ",
              length);
}

// Fills what the type has in `content`.
base::Status Decode(Control& out, std::string_view content) {
  const size_t size = content.size();
  const bool has_block =
      out.type == FrameType::kSynStream || out.type == FrameType::kSynReply || out.type == FrameType::kHeaders;
  switch (out.type) {
    case FrameType::kSynStream:
      if (size < 10) return WrongLength(out.type, size);
      out.associated = Get32(content, 4) & kMaxStream;
      out.priority = static_cast<uint8_t>(content[8]) >> 5;
      out.block = content.substr(10);
      break;
    case FrameType::kSynReply:
    case FrameType::kHeaders:
      if (size < 4) return WrongLength(out.type, size);
      out.block = content.substr(4);
      break;
    case FrameType::kRstStream:
    case FrameType::kGoAway:
    case FrameType::kWindowUpdate:
      if (size != 8) return WrongLength(out.type, size);
      out.value = Get32(content, 4);
      break;
    case FrameType::kPing:
      if (size != 4) return WrongLength(out.type, size);
      out.value = Get32(content, 0);
      return {};
    case FrameType::kSettings:
      if (size < 4 || (size - 4) % 8 != 0 || (size - 4) / 8 != Get32(content, 0)) return WrongLength(out.type, size);
      return {};
  }
  out.stream = Get32(content, 0) & kMaxStream;
  if ((has_block || out.type == FrameType::kRstStream) && out.stream == 0) {
    return Fail(Code::kInvalidArgument, "spdy: a frame of type ", static_cast<int>(out.type), " names stream 0");
  }
  return {};
}

}  // namespace

base::Status FrameReader::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    switch (phase_) {
      case Phase::kHead: {
        const size_t take = std::min(kHeadSize - kept_.size(), bytes.size());
        kept_ += bytes.substr(0, take);
        bytes.remove_prefix(take);
        if (kept_.size() == kHeadSize) RETURN_IF_ERROR(TakeHead());
        break;
      }
      case Phase::kControl:
        RETURN_IF_ERROR(TakeControl(bytes));
        break;
      case Phase::kData:
        RETURN_IF_ERROR(TakeData(bytes));
        break;
      case Phase::kSkip: {
        const size_t take = std::min<size_t>(left_, bytes.size());
        bytes.remove_prefix(take);
        left_ -= static_cast<uint32_t>(take);
        if (left_ == 0) phase_ = Phase::kHead;
        break;
      }
    }
  }
  return {};
}

base::Status FrameReader::TakeHead() {
  const uint32_t first = Get32(kept_, 0);
  const uint32_t second = Get32(kept_, 4);
  kept_.clear();
  flags_ = static_cast<uint8_t>(second >> 24);
  left_ = second & kMaxLength;
  if ((first >> 31) == 0) {
    stream_ = first;
    if (stream_ == 0) return Fail(Code::kInvalidArgument, "spdy: data for stream 0");
    phase_ = left_ > 0 ? Phase::kData : Phase::kHead;
    if (left_ == 0) return visitor_.OnData(stream_, {}, (flags_ & kFlagFin) != 0);
    return {};
  }
  const uint32_t version = first >> 16 & 0x7fff;
  if (version != kVersion) return Fail(Code::kInvalidArgument, "spdy: version ", version, " of a frame is not 3");
  type_ = static_cast<uint16_t>(first & 0xffff);
  if (!Known(type_)) {
    phase_ = left_ > 0 ? Phase::kSkip : Phase::kHead;
    return {};
  }
  if (left_ == 0) return WrongLength(FrameType{type_}, 0);
  if (left_ > control_limit_) {
    return Fail(Code::kInvalidArgument, "spdy: a control frame of ", left_, " bytes is longer than ", control_limit_);
  }
  phase_ = Phase::kControl;
  return {};
}

base::Status FrameReader::TakeControl(std::string_view& bytes) {
  const size_t take = std::min<size_t>(left_, bytes.size());
  kept_ += bytes.substr(0, take);
  bytes.remove_prefix(take);
  left_ -= static_cast<uint32_t>(take);
  if (left_ > 0) return {};
  const std::string content = std::move(kept_);
  kept_.clear();
  phase_ = Phase::kHead;
  Control control{.type = FrameType{type_}, .flags = flags_};
  RETURN_IF_ERROR(Decode(control, content));
  return visitor_.OnControl(control);
}

base::Status FrameReader::TakeData(std::string_view& bytes) {
  const std::string_view piece = bytes.substr(0, left_);
  bytes.remove_prefix(piece.size());
  left_ -= static_cast<uint32_t>(piece.size());
  if (left_ == 0) phase_ = Phase::kHead;
  return visitor_.OnData(stream_, piece, left_ == 0 && (flags_ & kFlagFin) != 0);
}

base::Status FrameReader::Skip(uint32_t size) {
  assert(phase_ == Phase::kData && size <= left_);
  left_ -= size;
  if (left_ > 0) return {};
  phase_ = Phase::kHead;
  return (flags_ & kFlagFin) != 0 ? visitor_.OnData(stream_, {}, true) : base::Status();
}

std::string SynStream(uint32_t stream, uint8_t flags, std::string_view block) {
  std::string out = Begin(FrameType::kSynStream, flags, 10 + block.size());
  Put32(out, stream);
  Put32(out, 0);
  out.append(2, '\0');
  out += block;
  return out;
}
std::string SynReply(uint32_t stream, uint8_t flags, std::string_view block) {
  return WithBlock(FrameType::kSynReply, stream, flags, block);
}
std::string HeadersFrame(uint32_t stream, uint8_t flags, std::string_view block) {
  return WithBlock(FrameType::kHeaders, stream, flags, block);
}
std::string RstStream(uint32_t stream, ResetStatus status) {
  return TwoNumbers(FrameType::kRstStream, stream, static_cast<uint32_t>(status));
}
std::string GoAway(uint32_t last_good_stream, GoAwayStatus status) {
  return TwoNumbers(FrameType::kGoAway, last_good_stream, static_cast<uint32_t>(status));
}
std::string Ping(uint32_t id) {
  std::string out = Begin(FrameType::kPing, 0, 4);
  Put32(out, id);
  return out;
}
std::string NoSettings() {
  std::string out = Begin(FrameType::kSettings, 0, 4);
  Put32(out, 0);
  return out;
}

void DataHead(uint32_t stream, uint8_t flags, uint32_t length, char (&out)[kHeadSize]) {
  std::string head;
  Put32(head, stream);
  Put32(head, uint32_t{flags} << 24 | length);
  std::copy(head.begin(), head.end(), out);
}

}  // namespace berth::spdy
