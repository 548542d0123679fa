// Container logs: "<timestamp> <stream> <tags> <content>\n", one record a line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace berth::cli {

struct LogRecord {
  std::string_view timestamp;
  bool is_stderr = false;
  bool partial = false;  // the line goes on in a later record of the same stream
  std::string_view content;
};

// A record without its newline; nothing for anything else.
std::optional<LogRecord> ParseLogRecord(std::string_view line);

// Cuts a stream of bytes into lines. What is not ended by a newline waits for more. Lines longer than kLimit are
// dropped.
class LineBuffer {
 public:
  static constexpr size_t kLimit = 1 << 20;  // the writer's records have 16 KiB of content; other writers have more

  void Append(std::string_view bytes);
  std::optional<std::string> Next();
  void Clear();

 private:
  std::string pending_;
  size_t begin_ = 0;       // of what Next has not given out
  bool skipping_ = false;  // in the middle of a line that is too long
};

}  // namespace berth::cli
