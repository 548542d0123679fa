#include "base/time.h"

#include <ctime>

namespace berth::base {

int64_t UnixNanos() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

namespace {
void Digits(char* out, int width, int64_t value) {
  for (int i = width - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}
}  // namespace

void FormatRfc3339(int64_t unix_nanos, char* out) {
  int64_t seconds = unix_nanos / 1'000'000'000;
  int64_t nanos = unix_nanos % 1'000'000'000;
  if (nanos < 0) {
    nanos += 1'000'000'000;
    --seconds;
  }
  // Civil date from days since 1970-01-01 (no libc call: gmtime_r takes the time zone lock).
  int64_t days = seconds / 86400;
  int64_t rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  Digits(out, 4, int{date.year()});
  out[4] = '-';
  Digits(out + 5, 2, unsigned{date.month()});
  out[7] = '-';
  Digits(out + 8, 2, unsigned{date.day()});
  out[10] = 'T';
  Digits(out + 11, 2, rest / 3600);
  out[13] = ':';
  Digits(out + 14, 2, rest / 60 % 60);
  out[16] = ':';
  Digits(out + 17, 2, rest % 60);
  out[19] = '.';
  Digits(out + 20, 9, nanos);
  out[29] = 'Z';
}

std::string Rfc3339(int64_t unix_nanos) {
  std::string out(kRfc3339Length, '\0');
  FormatRfc3339(unix_nanos, out.data());
  return out;
}

}  // namespace berth::base
