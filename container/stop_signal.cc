#include "container/stop_signal.h"

#include <array>
#include <csignal>
#include <string>

#include "base/strings.h"

namespace berth::container {
namespace {

struct Name {
  std::string_view name;
  int number;
  int cri;
};
constexpr std::array kNames = {
    Name{"ABRT", 6, 1},     Name{"ALRM", 14, 2},   Name{"BUS", 7, 3},    Name{"CHLD", 17, 4},  Name{"CLD", 17, 5},
    Name{"CONT", 18, 6},    Name{"FPE", 8, 7},     Name{"HUP", 1, 8},    Name{"ILL", 4, 9},    Name{"INT", 2, 10},
    Name{"IO", 29, 11},     Name{"IOT", 6, 12},    Name{"KILL", 9, 13},  Name{"PIPE", 13, 14}, Name{"POLL", 29, 15},
    Name{"PROF", 27, 16},   Name{"PWR", 30, 17},   Name{"QUIT", 3, 18},  Name{"SEGV", 11, 19}, Name{"STKFLT", 16, 20},
    Name{"STOP", 19, 21},   Name{"SYS", 31, 22},   Name{"TERM", 15, 23}, Name{"TRAP", 5, 24},  Name{"TSTP", 20, 25},
    Name{"TTIN", 21, 26},   Name{"TTOU", 22, 27},  Name{"URG", 23, 28},  Name{"USR1", 10, 29}, Name{"USR2", 12, 30},
    Name{"VTALRM", 26, 31}, Name{"WINCH", 28, 32}, Name{"XCPU", 24, 33}, Name{"XFSZ", 25, 34},
};

// The kernel's range. libc's SIGRTMIN is 34 because it keeps two for itself, and that is what names count from.
constexpr int kRtMin = 34;
constexpr int kRtMax = 64;
// CRI: RTMIN is 35, RTMIN+n is 35 + n up to 15, RTMAX-14 is 51 … RTMAX is 65.
constexpr int kCriRtMin = 35;
constexpr int kCriRtMinLast = 50;
constexpr int kCriRtMax = 65;

}  // namespace

base::Result<int> ParseSignal(std::string_view text) {
  const auto unknown = [&] { return base::Fail(base::Code::kInvalidArgument, "unknown signal \"", text, "\""); };
  if (const auto number = base::ParseInt(text)) {
    if (*number < 1 || *number > kRtMax) return unknown();
    return static_cast<int>(*number);
  }
  std::string name(text);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  std::string_view rest = name;
  if (rest.starts_with("SIG")) rest.remove_prefix(3);
  for (const Name& known : kNames) {
    if (rest == known.name) return known.number;
  }
  const bool from_min = rest.starts_with("RTMIN");
  if (!from_min && !rest.starts_with("RTMAX")) return unknown();
  rest.remove_prefix(5);
  int64_t offset = 0;
  if (!rest.empty()) {
    if (rest[0] != (from_min ? '+' : '-')) return unknown();
    const auto parsed = base::ParseInt(rest.substr(1));
    if (!parsed || *parsed < 0 || *parsed > kRtMax - kRtMin) return unknown();
    offset = *parsed;
  }
  return static_cast<int>(from_min ? kRtMin + offset : kRtMax - offset);
}

int SignalFromCri(int cri) {
  for (const Name& known : kNames) {
    if (known.cri == cri) return known.number;
  }
  if (cri >= kCriRtMin && cri <= kCriRtMinLast) return kRtMin + (cri - kCriRtMin);
  if (cri > kCriRtMinLast && cri <= kCriRtMax) return kRtMax - (kCriRtMax - cri);
  return 0;
}

int SignalToCri(int linux_number) {
  for (const Name& known : kNames) {
    if (known.number == linux_number) return known.cri;
  }
  if (linux_number >= kRtMin && linux_number <= kRtMin + (kCriRtMinLast - kCriRtMin))
    return kCriRtMin + (linux_number - kRtMin);
  if (linux_number > kRtMin + (kCriRtMinLast - kCriRtMin) && linux_number <= kRtMax)
    return kCriRtMax - (kRtMax - linux_number);
  return 0;
}

base::Result<int> StopSignal(int cri, std::string_view image) {
  if (cri != 0) {
    const int number = SignalFromCri(cri);
    if (number == 0) return base::Fail(base::Code::kInvalidArgument, "config.stop_signal: unknown value ", cri);
    return number;
  }
  if (!image.empty()) {
    ASSIGN_OR_RETURN(const int number, ParseSignal(image), "image's StopSignal");
    return number;
  }
  return SIGTERM;
}

}  // namespace berth::container
