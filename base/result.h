// Results: what every function that can fail returns.
//
//   base::Result<Manifest> LoadManifest(const std::filesystem::path& path) {
//     ASSIGN_OR_RETURN(std::string text, base::ReadFile(path));
//     ...
//     if (bad) return base::Fail(base::Code::kInvalidArgument, "manifest ", path.string(), ": no layers");
//   }
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace berth::base {

// The handful of kinds that callers tell apart. Each maps onto the gRPC code of the same name.
enum class Code {
  kInvalidArgument,
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,
  kUnauthenticated,
  kResourceExhausted,
  kUnavailable,
  kDeadlineExceeded,
  kCancelled,
  kUnimplemented,
  kInternal,
  kUnknown,
};

std::string_view CodeName(Code code);

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;     // what was tried, on which path or id, and why it failed; no secrets
  int err = 0;             // errno, 0 when the failure had none
  std::string clean_up{};  // what could not be undone afterwards; reported beside the cause, never instead of it

  // "message" or "message (clean-up: ...)".
  std::string Text() const;
};

// As tl::expected, but [[nodiscard]].
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(tl::expected<T, Error> other)
      : tl::expected<T, Error>(std::move(other)) {}  // NOLINT(google-explicit-constructor)
};
using Status = Result<void>;

namespace internal {
inline void Append(std::string& out, std::string_view text) {
  out.append(text);
}
inline void Append(std::string& out, char c) {
  out.push_back(c);
}
template <typename T>
requires(std::is_arithmetic_v<T> && !std::is_same_v<T, char>) void Append(std::string& out, T number) {
  out.append(std::to_string(number));
}
}  // namespace internal

// Joins strings, characters and numbers into one string.
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  (internal::Append(out, parts), ...);
  return out;
}

template <typename... Parts>
tl::unexpected<Error> Fail(Code code, const Parts&... parts) {
  return tl::make_unexpected(Error{.code = code, .message = Cat(parts...)});
}

// The failure of a system call: "<parts>: <strerror>". No space, quota or descriptors left is kResourceExhausted,
// everything else kInternal: what ENOENT means to the caller is the caller's to say (look at Error::err).
tl::unexpected<Error> FailErrnoText(int err, std::string what);
template <typename... Parts>
tl::unexpected<Error> FailErrno(int err, const Parts&... parts) {
  return FailErrnoText(err, Cat(parts...));
}

// Puts "context: " in front of an error's message; code and errno stay.
template <typename... Parts>
Error Wrap(Error error, const Parts&... context) {
  error.message = Cat(Cat(context...), ": ", error.message);
  return error;
}

}  // namespace berth::base

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)

// RETURN_IF_ERROR(expr [, context...]): leaves the function with the error, with "context: " before its text.
#define RETURN_IF_ERROR(expr, ...)                                                                           \
  do {                                                                                                       \
    if (auto berth_status = (expr); !berth_status)                                                           \
      return ::tl::make_unexpected(BERTH_WRAP_(std::move(berth_status).error() __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)

// ASSIGN_OR_RETURN(declaration, expr [, context...])
#define ASSIGN_OR_RETURN(declaration, expr, ...) \
  ASSIGN_OR_RETURN_(BERTH_CONCAT(berth_result_, __COUNTER__), declaration, expr __VA_OPT__(, ) __VA_ARGS__)
#define ASSIGN_OR_RETURN_(result, declaration, expr, ...)                                                       \
  auto result = (expr);                                                                                         \
  if (!result) return ::tl::make_unexpected(BERTH_WRAP_(std::move(result).error() __VA_OPT__(, ) __VA_ARGS__)); \
  declaration = *std::move(result)

#define BERTH_WRAP_(error, ...) __VA_OPT__(::berth::base::Wrap)(error __VA_OPT__(, ) __VA_ARGS__)
