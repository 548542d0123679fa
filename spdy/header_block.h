// Header blocks: name-value pairs, compressed with one zlib stream per direction for the whole connection and primed
// with a dictionary.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::spdy {

// The dictionary of the SPDY/3 draft, section 2.6.10.1.
const std::string& Dictionary();

// Names are lower-case. Several values of one name stand in one value, with a NUL between each.
using Headers = std::vector<std::pair<std::string, std::string>>;

// The value of a name; nullptr when there is none.
const std::string* Find(const Headers& headers, std::string_view name);

// Inflated blocks as text. An error is the stream's alone: the next block can be read all the same.
base::Result<Headers> ParseHeaders(std::string_view text);
std::string HeaderText(const Headers& headers);

// Every block must be inflated, in the order of arrival, those of refused streams included.
class HeaderInflater {
 public:
  explicit HeaderInflater(size_t limit = 256 << 10);  // of each block's inflated text
  ~HeaderInflater();
  // After an error the connection is of no use: what follows cannot be inflated.
  base::Result<std::string> Inflate(std::string_view block);

 private:
  struct Zlib;
  std::unique_ptr<Zlib> zlib_;
  const size_t limit_;
};

class HeaderDeflater {
 public:
  HeaderDeflater();
  ~HeaderDeflater();
  std::string Deflate(const Headers& headers);

 private:
  struct Zlib;
  std::unique_ptr<Zlib> zlib_;
};

}  // namespace berth::spdy
