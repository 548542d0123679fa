#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace berth::cli {
namespace {

constexpr char kCtrlP = 0x10;
constexpr char kCtrlQ = 0x11;

}  // namespace

base::Result<RawTerminal> RawTerminal::Make(int fd) {
  termios before{};
  if (tcgetattr(fd, &before) != 0) return RawTerminal(-1, before);
  termios raw = before;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSADRAIN, &raw) != 0) return base::FailErrno(errno, "set the terminal to raw mode");
  return RawTerminal(fd, before);
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) tcsetattr(fd_, TCSADRAIN, &before_);
}

std::optional<std::string> TerminalSizeJson(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return std::nullopt;
  return base::Cat("{\"Width\":", size.ws_col, ",\"Height\":", size.ws_row, "}\n");
}

std::string DetachKeys::Filter(std::string_view typed) {
  std::string out;
  for (const char c : typed) {
    if (pressed_) break;
    if (std::exchange(held_, false)) {
      if (c == kCtrlQ) {
        pressed_ = true;
        break;
      }
      out.push_back(kCtrlP);
    }
    if (c == kCtrlP)
      held_ = true;
    else
      out.push_back(c);
  }
  return out;
}

}  // namespace berth::cli
