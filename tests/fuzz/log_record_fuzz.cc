// Container logs that the client reads, in pieces of a length that the last byte chooses.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/log_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::cli;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t piece = size > 0 ? 1 + data[size - 1] : 1;
  LineBuffer lines;
  std::string seen;
  for (size_t at = 0; at < size; at += piece) {
    lines.Append(text.substr(at, piece));
    while (const auto line = lines.Next()) {
      if (const auto record = ParseLogRecord(*line); record && record->content.size() > line->size()) std::abort();
      seen += *line + "\n";
    }
  }
  // Inputs are shorter than the longest line: every line that was ended must have come out, and nothing else.
  const size_t ended = text.rfind('\n');
  if (seen != text.substr(0, ended == std::string_view::npos ? 0 : ended + 1)) std::abort();
  return 0;
}
