// How things are shown to people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

// Columns as wide as their longest cell, two blanks between, no blanks at the end of a line. Control characters in
// cells become '?', so that a name cannot move the cursor.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }  // as many cells as the heading
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "999 B", "1.5 MB", "12 GB": powers of 1000, at most three figures.
std::string Bytes(uint64_t count);
// "7 seconds ago", "3 hours ago", from Unix nanoseconds; "-" for 0.
std::string Ago(int64_t then, int64_t now);
// The first 13 characters of an id, without "sha256:".
std::string ShortId(std::string_view id);

}  // namespace berth::cli
