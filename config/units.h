// Durations, sizes and file modes as people write them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace berth::config {

// "250ms", "30s", "5m", "2h"; whole numbers, one unit; "0" needs none. Nothing for anything else.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::milliseconds duration);  // in the largest unit that fits evenly

// "1024", "16KiB", "16MiB", "1GiB", "1TiB"; whole numbers.
std::optional<ByteCount> ParseSize(std::string_view text);
std::string FormatSize(ByteCount size);

// "0660", "660".
std::optional<FileMode> ParseMode(std::string_view text);
std::string FormatMode(FileMode mode);

// "nofile=1024:65535" (soft, hard), "core=0" (both), "memlock=-1" (none): the names of setrlimit(2) in lower case.
struct Ulimit {
  std::string_view name;
  uint64_t soft = 0;
  uint64_t hard = 0;
};
std::optional<Ulimit> ParseUlimit(std::string_view text);

}  // namespace berth::config
