#include "server/telemetry/log.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::telemetry {
namespace {

struct LevelForm {
  char priority;  // syslog's
  char letter;
  const char* name;
};

LevelForm FormOf(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
      return {'2', 'C', "critical"};
    case spdlog::level::err:
      return {'3', 'E', "error"};
    case spdlog::level::warn:
      return {'4', 'W', "warning"};
    case spdlog::level::info:
      return {'6', 'I', "info"};
    default:
      return {'7', 'D', "debug"};
  }
}

std::string TimeText(spdlog::log_clock::time_point when) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
  const time_t seconds = since / 1'000'000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  const size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::string micros = std::to_string(since % 1'000'000);
  return base::Cat(std::string_view(text, length), ".", std::string(6 - micros.size(), '0'), micros, "Z");
}

class Formatter : public spdlog::formatter {
 public:
  Formatter(config::LogFormat format, bool priorities) : format_(format), priorities_(priorities) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& into) override {
    const LevelForm level = FormOf(message.level);
    std::string line;
    if (priorities_) line += {'<', level.priority, '>'};
    std::string text(message.payload.data(), message.payload.size());
    if (format_ == config::LogFormat::kJson) {
      line += json::Dump({{"time", TimeText(message.time)},
                          {"level", level.name},
                          {"thread", message.thread_id},
                          {"message", std::move(text)}});
    } else {
      for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
      }
      line += base::Cat(TimeText(message.time), " ", std::string(1, level.letter), " ", text);
    }
    line += '\n';
    into.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<Formatter>(format_, priorities_);
  }

 private:
  const config::LogFormat format_;
  const bool priorities_;
};

struct Level {
  std::string_view name;
  config::LogLevel ours;
  spdlog::level::level_enum theirs;
};
constexpr Level kLevels[] = {{"debug", config::LogLevel::kDebug, spdlog::level::debug},
                             {"info", config::LogLevel::kInfo, spdlog::level::info},
                             {"warning", config::LogLevel::kWarning, spdlog::level::warn},
                             {"error", config::LogLevel::kError, spdlog::level::err}};

}  // namespace

// The variable names the device and inode of the stream that systemd connected to the journal (systemd.exec(5)); a
// service that sends its output elsewhere afterwards must not be taken for one.
bool IsJournal(int fd, const char* stream) {
  struct stat info {};
  return stream != nullptr && fstat(fd, &info) == 0 && base::Cat(info.st_dev, ":", info.st_ino) == stream;
}

std::unique_ptr<spdlog::formatter> MakeLogFormatter(config::LogFormat format, bool priorities) {
  return std::make_unique<Formatter>(format, priorities);
}

void SetUpLog(const config::Config::Log& log) {
  auto logger = spdlog::stderr_logger_mt("berthd");
  logger->set_formatter(MakeLogFormatter(log.format, IsJournal(STDERR_FILENO, getenv("JOURNAL_STREAM"))));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
  SetLogLevel(log.level);
}

void SetLogLevel(config::LogLevel level) {
  for (const Level& each : kLevels) {
    if (each.ours == level) spdlog::default_logger()->set_level(each.theirs);
  }
}

std::string_view LogLevelName() {
  const auto level = spdlog::default_logger()->level();
  for (const Level& each : kLevels) {
    if (each.theirs == level) return each.name;
  }
  return "";
}

std::optional<config::LogLevel> LogLevelNamed(std::string_view name) {
  for (const Level& each : kLevels) {
    if (each.name == name) return each.ours;
  }
  return std::nullopt;
}

}  // namespace berth::telemetry
