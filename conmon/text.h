// Text in a fixed buffer: the monitor formats without stdio, whose locale and buffers would cost memory in each of
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace berth::conmon {

// Cut silently at N - 1 bytes; always ends with a NUL.
template <size_t N>
class Text {
 public:
  Text& Add(std::string_view text) {
    const size_t count = text.size() < N - 1 - size_ ? text.size() : N - 1 - size_;
    std::memcpy(data_ + size_, text.data(), count);
    size_ += count;
    data_[size_] = '\0';
    return *this;
  }
  Text& Add(uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return Add(std::string_view(digits + at, sizeof digits - at));
  }
  const char* c_str() const { return data_; }
  std::string_view view() const { return {data_, size_}; }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
  char data_[N] = {};
};

// The decimal number that `text` is, if it is one and at most `max`.
constexpr bool ParseNumber(std::string_view text, uint64_t max, uint64_t& out) {
  if (text.empty() || text.size() > 19) return false;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > max) return false;
  out = value;
  return true;
}

// The number at the start of `text`, 0 if there is none; stops at the first other character.
constexpr uint64_t LeadingNumber(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && digits < 19 && text[digits] >= '0' && text[digits] <= '9') ++digits;
  uint64_t value = 0;
  ParseNumber(text.substr(0, digits), UINT64_MAX, value);
  return value;
}

}  // namespace berth::conmon
