// WWW-Authenticate headers, token servers' answers and redirect targets.
#include <cstdint>
#include <string>
#include <string_view>

#include "image/auth.h"
#include "image/http.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::image;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ChooseChallenge({std::string(text)});
  (void)ParseToken(text, {});
  (void)Origin::Parse(ResolveUrl("https://registry.example/v2/a/blobs/b?c=d", text));
  (void)ShownUrl(text);
  return 0;
}
