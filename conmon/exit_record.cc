#include "conmon/exit_record.h"

#include <cstring>

#include "conmon/text.h"

namespace berth::conmon {
namespace {

constexpr std::string_view kHead = "berth-exit 1\n";
constexpr uint64_t kMaxNumber = INT64_MAX;

// Takes "key=<number>\n" from the front of `content`.
bool Take(std::string_view& content, std::string_view key, uint64_t max, uint64_t& out) {
  if (!content.starts_with(key)) return false;
  content.remove_prefix(key.size());
  const size_t end = content.find('\n');
  if (end == std::string_view::npos || !ParseNumber(content.substr(0, end), max, out)) return false;
  content.remove_prefix(end + 1);
  return true;
}

uint64_t NotNegative(int64_t value) {
  return value < 0 ? 0 : static_cast<uint64_t>(value);
}
uint64_t Capped(uint64_t value) {
  return value < kMaxNumber ? value : kMaxNumber;
}

}  // namespace

size_t FormatExitRecord(const ExitRecord& record, std::span<char, kExitRecordLimit> out) {
  Text<kExitRecordLimit> text;
  text.Add(kHead);
  text.Add("code=").Add(NotNegative(record.code)).Add("\nsignal=").Add(NotNegative(record.signal));
  text.Add("\noom=").Add(Capped(record.oom_kills)).Add("\ndropped=").Add(Capped(record.dropped));
  text.Add("\nat=").Add(NotNegative(record.finished_at)).Add("\nend\n");
  std::memcpy(out.data(), text.c_str(), text.size());
  return text.size();
}

std::optional<ExitRecord> ParseExitRecord(std::string_view content) {
  if (!content.starts_with(kHead)) return std::nullopt;
  content.remove_prefix(kHead.size());
  uint64_t code = 0;
  uint64_t signal = 0;
  uint64_t at = 0;
  ExitRecord record;
  const bool whole = Take(content, "code=", 255, code) && Take(content, "signal=", 127, signal) &&
                     Take(content, "oom=", kMaxNumber, record.oom_kills) &&
                     Take(content, "dropped=", kMaxNumber, record.dropped) && Take(content, "at=", kMaxNumber, at) &&
                     content.starts_with("end\n");
  if (!whole) return std::nullopt;
  record.code = static_cast<int32_t>(code);
  record.signal = static_cast<int32_t>(signal);
  record.finished_at = static_cast<int64_t>(at);
  return record;
}

}  // namespace berth::conmon
