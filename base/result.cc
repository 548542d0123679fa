#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace berth::base {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnknown:
      return "UNKNOWN";
  }
  return "UNKNOWN";
}

std::string Error::Text() const {
  if (clean_up.empty()) return message;
  return Cat(message, " (clean-up: ", clean_up, ")");
}

tl::unexpected<Error> FailErrnoText(int err, std::string what) {
  const bool exhausted = err == ENOSPC || err == EDQUOT || err == EMFILE || err == ENFILE;
  // strerrordesc_np is thread-safe and never translated.
  const char* text = strerrordesc_np(err);
  return tl::make_unexpected(Error{.code = exhausted ? Code::kResourceExhausted : Code::kInternal,
                                   .message = Cat(what, ": ", text != nullptr ? text : "unknown error"),
                                   .err = err});
}

}  // namespace berth::base
