// How an exec or attach ended, and how clients are told.
#pragma once

#include <string>

namespace berth::streaming {

struct Outcome {
  enum class Kind { kSuccess, kExitCode, kFailure } kind = Kind::kSuccess;
  int code = 0;         // of kExitCode, not 0
  std::string message;  // of kFailure

  static Outcome Exit(int code) { return {code == 0 ? Kind::kSuccess : Kind::kExitCode, code, {}}; }
  static Outcome Failure(std::string message) { return {Kind::kFailure, 0, std::move(message)}; }
};

// What the error stream carries in a version of the channel protocol: from 4 on one JSON status, before that a text
// that is empty on success.
std::string StatusText(const Outcome& outcome, int version);

}  // namespace berth::streaming
