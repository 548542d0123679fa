#include "conmon/options.h"

#include <string_view>

#include "conmon/text.h"

namespace berth::conmon {
namespace {

struct TextOption {
  std::string_view key;
  const char* MonitorOptions::*member;
  bool path;
};
constexpr TextOption kTexts[] = {
    {"--id=", &MonitorOptions::id, false},
    {"--pid-file=", &MonitorOptions::pid_file, true},
    {"--run-folder=", &MonitorOptions::run_folder, true},
    {"--runtime-log=", &MonitorOptions::runtime_log, true},
    {"--log=", &MonitorOptions::log, true},
    {"--cgroup-root=", &MonitorOptions::cgroup_root, true},
};
struct NumberOption {
  std::string_view key;
  uint32_t MonitorOptions::*member;
  uint32_t min;
  uint32_t max;
};
constexpr NumberOption kNumbers[] = {
    {"--log-limit=", &MonitorOptions::log_limit, 1, kLogLimitMax},
    {"--partial-ms=", &MonitorOptions::partial_ms, 1, 60'000},
    {"--drain-ms=", &MonitorOptions::drain_ms, 0, 600'000},
    {"--create-ms=", &MonitorOptions::create_ms, 1, 3'600'000},
};
constexpr std::string_view kTerminal = "--terminal=";
constexpr std::string_view kStdin = "--stdin=";
constexpr std::string_view kJoin = "--join=";
constexpr unsigned kTerminalBit = 30;
constexpr unsigned kStdinBit = 31;

class Parser {
 public:
  explicit Parser(MonitorOptions& out) : out_(out) {}

  const char* Take(const char* argument) {
    const std::string_view text(argument);
    unsigned bit = 0;
    for (const TextOption& option : kTexts) {
      if (text.starts_with(option.key)) return TakeText(option, argument + option.key.size(), bit);
      ++bit;
    }
    for (const NumberOption& option : kNumbers) {
      if (text.starts_with(option.key)) return TakeNumber(option, text.substr(option.key.size()), bit);
      ++bit;
    }
    if (text.starts_with(kTerminal)) return TakeTerminal(text.substr(kTerminal.size()));
    if (text.starts_with(kStdin)) return TakeStdin(text.substr(kStdin.size()));
    if (text.starts_with(kJoin)) return TakeJoin(argument + kJoin.size());
    return "unknown option";
  }

 private:
  bool Repeated(unsigned bit) {
    const bool seen = (seen_ & (1u << bit)) != 0;
    seen_ |= 1u << bit;
    return seen;
  }
  const char* TakeText(const TextOption& option, const char* value, unsigned bit) {
    if (Repeated(bit)) return "option given twice";
    if (*value == '\0') return "option without a value";
    if (option.path && *value != '/') return "path is not absolute";
    out_.*option.member = value;
    return nullptr;
  }
  const char* TakeNumber(const NumberOption& option, std::string_view value, unsigned bit) {
    if (Repeated(bit)) return "option given twice";
    uint64_t number = 0;
    if (!ParseNumber(value, option.max, number) || number < option.min) return "number out of range";
    out_.*option.member = static_cast<uint32_t>(number);
    return nullptr;
  }
  const char* TakeTerminal(std::string_view value) {
    if (Repeated(kTerminalBit)) return "option given twice";
    if (value != "yes" && value != "no") return "--terminal is yes or no";
    out_.terminal = value == "yes";
    return nullptr;
  }
  const char* TakeStdin(std::string_view value) {
    if (Repeated(kStdinBit)) return "option given twice";
    if (value != "no" && value != "open" && value != "once") return "--stdin is no, open or once";
    out_.stdin_open = value != "no";
    out_.stdin_once = value == "once";
    return nullptr;
  }
  const char* TakeJoin(const char* value) {
    if (*value != '/') return "path is not absolute";
    if (out_.joins == kJoinLimit) return "too many --join options";
    out_.join[out_.joins++] = value;
    return nullptr;
  }

  MonitorOptions& out_;
  uint32_t seen_ = 0;
};

}  // namespace

const char* ParseOptions(std::span<char*> argv, MonitorOptions& out) {
  out = {};
  Parser parser(out);
  size_t at = 1;
  for (; at < argv.size() && argv[at] != nullptr && std::string_view(argv[at]) != "--"; ++at) {
    if (const char* wrong = parser.Take(argv[at])) return wrong;
  }
  if (at >= argv.size() || argv[at] == nullptr) return "no -- before the runtime's command";
  ++at;
  if (at >= argv.size() || argv[at] == nullptr) return "no runtime command";
  if (argv[at][0] != '/') return "runtime's path is not absolute";
  if (argv.back() != nullptr) return "arguments do not end with null";
  out.runtime = &argv[at];
  if (out.id == nullptr) return "--id is missing";
  if (out.pid_file == nullptr) return "--pid-file is missing";
  if (out.run_folder == nullptr) return "--run-folder is missing";
  return nullptr;
}

}  // namespace berth::conmon
