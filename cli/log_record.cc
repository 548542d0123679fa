#include "cli/log_record.h"

namespace berth::cli {
namespace {

// Up to the next blank, which is taken as well; nothing when there is none.
std::optional<std::string_view> Word(std::string_view& rest) {
  const size_t blank = rest.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const std::string_view word = rest.substr(0, blank);
  rest.remove_prefix(blank + 1);
  return word;
}

}  // namespace

std::optional<LogRecord> ParseLogRecord(std::string_view line) {
  const auto timestamp = Word(line);
  const auto stream = Word(line);
  const auto tags = Word(line);
  if (!timestamp || timestamp->empty() || !stream || !tags) return std::nullopt;
  if (*stream != "stdout" && *stream != "stderr") return std::nullopt;
  // Only the first of several tags, separated by colons, has a meaning.
  const std::string_view tag = tags->substr(0, tags->find(':'));
  if (tag != "F" && tag != "P") return std::nullopt;
  return LogRecord{.timestamp = *timestamp, .is_stderr = *stream == "stderr", .partial = tag == "P", .content = line};
}

void LineBuffer::Append(std::string_view bytes) {
  pending_.erase(0, begin_);
  begin_ = 0;
  if (skipping_) {
    const size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) return;
    skipping_ = false;
    bytes.remove_prefix(newline + 1);
  }
  pending_.append(bytes);
}

std::optional<std::string> LineBuffer::Next() {
  const size_t newline = pending_.find('\n', begin_);
  if (newline == std::string::npos) {
    if (pending_.size() - begin_ > kLimit) {
      Clear();
      skipping_ = true;
    }
    return std::nullopt;
  }
  std::string out = pending_.substr(begin_, newline - begin_);
  begin_ = newline + 1;
  return out;
}

void LineBuffer::Clear() {
  pending_.clear();
  begin_ = 0;
  skipping_ = false;
}

}  // namespace berth::cli
