// The resize stream: JSON objects {"Width":80,"Height":24}, one after the other, cut anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::streaming {

struct TerminalSize {
  uint16_t columns = 0;
  uint16_t rows = 0;
  bool operator==(const TerminalSize&) const = default;
};

class ResizeReader {
 public:
  // The last usable size in what has come so far, if one came with `bytes`. After broken JSON nothing comes any more.
  std::optional<TerminalSize> Feed(std::string_view bytes);
  bool broken() const { return broken_; }

 private:
  std::string kept_;  // the beginning of an object
  bool broken_ = false;
};

}  // namespace berth::streaming
