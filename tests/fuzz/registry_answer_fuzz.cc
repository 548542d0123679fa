// A registry's error answers: status, Retry-After, body. The first byte is the status, the first line the header.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/registry_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::image;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t newline = text.find('\n');
  HttpResponse response{.status = 400 + data[0] % 200, .url = "https://registry.example/v2/a/manifests/b"};
  response.headers.emplace("retry-after", text.substr(0, newline));
  if (newline != std::string_view::npos) response.body = text.substr(newline + 1);
  // Messages go into the log and to the kubelet: printable and bounded.
  const std::string message = ErrorOf(response).message;
  if (message.size() > 4096) std::abort();
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) std::abort();
  }
  const auto wait = RetryAfter(response);
  if (wait.count() < 0 || wait > std::chrono::hours(24)) std::abort();
  return 0;
}
