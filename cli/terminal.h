// The user's own terminal, and what is typed into it.
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli {

// Raw mode, until it is destroyed: every key goes to the other side as it is.
class RawTerminal {
 public:
  // Nothing to do, and no error, when `fd` is no terminal.
  static base::Result<RawTerminal> Make(int fd);
  RawTerminal(RawTerminal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), before_(other.before_) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}
  int fd_;
  termios before_;
};

// {"Width":80,"Height":24} and a newline; nothing when `fd` is no terminal or has no size.
std::optional<std::string> TerminalSizeJson(int fd);

// Finds Ctrl-P Ctrl-Q in what is typed.
class DetachKeys {
 public:
  // What is to be sent. A Ctrl-P is held back until the next key is there.
  std::string Filter(std::string_view typed);
  bool pressed() const { return pressed_; }

 private:
  bool held_ = false;
  bool pressed_ = false;
};

}  // namespace berth::cli
