// The daemon's log on standard error: one line for each message, as text or as JSON.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <spdlog/formatter.h>

#include "config/config.h"

namespace berth::telemetry {

// Where standard error is the journal's, lines begin with the priority that journald takes off ("<4>").
void SetUpLog(const config::Config::Log& log);
// At any moment, from any thread.
void SetLogLevel(config::LogLevel level);
std::string_view LogLevelName();  // as in the configuration
std::optional<config::LogLevel> LogLevelNamed(std::string_view name);

// What cannot stand in a line (control characters) becomes blanks in text, escapes in JSON.
std::unique_ptr<spdlog::formatter> MakeLogFormatter(config::LogFormat format, bool priorities);
// Whether the descriptor is what `stream`, the value of JOURNAL_STREAM, names: one that was redirected is not the
// journal's any more.
bool IsJournal(int fd, const char* stream);

}  // namespace berth::telemetry
