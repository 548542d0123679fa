// The five channels of exec and attach, whatever carries them: SPDY streams or WebSocket messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/streaming/outcome.h"

namespace berth::streaming {

enum class Channel : uint8_t { kInput = 0, kOutput = 1, kErrors = 2, kStatus = 3, kResize = 4 };
inline constexpr size_t kChannels = 5;

// Above this much unsent output no more is read from where it comes from.
inline constexpr size_t kOutputHighWater = 256 << 10;
// Above this much input that was not taken yet no more is read from the client.
inline constexpr size_t kInputHighWater = 1 << 20;
inline constexpr size_t kInputLowWater = 256 << 10;

// What an exec or attach is to its channels. Called on the loop.
class ChannelUser {
 public:
  virtual ~ChannelUser() = default;
  virtual void OnOpen() = 0;                                        // once, first: all channels are there
  virtual void OnData(Channel channel, std::string_view data) = 0;  // kInput and kResize
  // Where input may go without OnData, at this moment: a pipe; else -1. And that it is full: ResumeReading must follow.
  virtual int InputPipe() { return -1; }
  virtual void OnInputPipeFull() {}
  virtual void OnEnd(Channel channel) = 0;  // the same, at most once each
  virtual void OnDrained() = 0;             // queued() is low again
  virtual void OnGone() = 0;                // once, last: the client has left, or all was delivered after Finish
};

// On the loop alone. Holds its user until OnGone.
class Channels {
 public:
  virtual ~Channels() = default;
  virtual void Send(Channel channel, std::string_view data) = 0;  // kOutput and kErrors
  virtual void End(Channel channel) = 0;                          // the same
  virtual size_t queued() const = 0;
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
  // Ends the outputs, sends the status, then closes in good order.
  virtual void Finish(const Outcome& outcome) = 0;
  virtual void Abort() = 0;  // at once
};

}  // namespace berth::streaming
