#include "spdy/header_block.h"

#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace berth::spdy {
namespace {

using base::Code;
using base::Fail;

constexpr size_t kMaxPairs = 256;

// zlib reads only from it, whatever its interface says.
Bytef* In(std::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT
}
const Bytef* DictionaryBytes() {
  return reinterpret_cast<const Bytef*>(Dictionary().data());
}

void Put32(std::string& out, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

// Takes numbers and counted texts from the front.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool Number(uint32_t& out) {
    if (text_.size() < 4) return false;
    out = 0;
    for (int i = 0; i < 4; ++i) out = out << 8 | static_cast<uint8_t>(text_[static_cast<size_t>(i)]);
    text_.remove_prefix(4);
    return true;
  }
  bool Text(std::string& out) {
    uint32_t size = 0;
    if (!Number(size) || size > text_.size()) return false;
    out = text_.substr(0, size);
    text_.remove_prefix(size);
    return true;
  }
  bool empty() const { return text_.empty(); }

 private:
  std::string_view text_;
};

bool IsUpper(char c) {
  return c >= 'A' && c <= 'Z';
}

// Of HTTP/1 connections; a client must not send them.
bool Forbidden(std::string_view name) {
  return name == "connection" || name == "host" || name == "keep-alive" || name == "proxy-connection" ||
         name == "transfer-encoding";
}

}  // namespace

const std::string* Find(const Headers& headers, std::string_view name) {
  const auto found = std::ranges::find(headers, name, &Headers::value_type::first);
  return found == headers.end() ? nullptr : &found->second;
}

base::Result<Headers> ParseHeaders(std::string_view text) {
  Cursor cursor(text);
  uint32_t count = 0;
  if (!cursor.Number(count)) return Fail(Code::kInvalidArgument, "spdy: a header block without a count");
  if (count > kMaxPairs) return Fail(Code::kInvalidArgument, "spdy: ", count, " headers are more than ", kMaxPairs);
  Headers out;
  for (uint32_t i = 0; i < count; ++i) {
    std::string name;
    std::string value;
    if (!cursor.Text(name) || !cursor.Text(value))
      return Fail(Code::kInvalidArgument, "spdy: a header block is cut off");
    if (name.empty() || std::ranges::any_of(name, IsUpper) || Forbidden(name) || Find(out, name) != nullptr) {
      return Fail(Code::kInvalidArgument, "spdy: a header's name is empty, not lower-case, forbidden or there twice");
    }
    out.emplace_back(std::move(name), std::move(value));
  }
  if (!cursor.empty()) return Fail(Code::kInvalidArgument, "spdy: a header block has more bytes than its headers");
  return out;
}

std::string HeaderText(const Headers& headers) {
  std::string out;
  Put32(out, headers.size());
  for (const auto& [name, value] : headers) {
    Put32(out, name.size());
    out += name;
    Put32(out, value.size());
    out += value;
  }
  return out;
}

struct HeaderInflater::Zlib {
  Zlib() { usable = inflateInit(&stream) == Z_OK; }
  ~Zlib() { inflateEnd(&stream); }
  z_stream stream{};
  bool usable = false;
};

HeaderInflater::HeaderInflater(size_t limit) : limit_(limit) {}
HeaderInflater::~HeaderInflater() = default;

base::Result<std::string> HeaderInflater::Inflate(std::string_view block) {
  if (!zlib_) zlib_ = std::make_unique<Zlib>();
  if (!zlib_->usable) return Fail(Code::kInvalidArgument, "spdy: header compression cannot be read");
  z_stream& stream = zlib_->stream;
  stream.next_in = In(block);
  stream.avail_in = static_cast<uInt>(block.size());
  std::string out;
  char piece[4096];
  while (true) {
    stream.next_out = reinterpret_cast<Bytef*>(piece);
    stream.avail_out = sizeof piece;
    int result = inflate(&stream, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      result = inflateSetDictionary(&stream, DictionaryBytes(), static_cast<uInt>(Dictionary().size()));
      if (result == Z_OK) continue;
    }
    out.append(piece, sizeof piece - stream.avail_out);
    if (out.size() > limit_) result = Z_MEM_ERROR;
    // Z_BUF_ERROR: nothing was left to do, since a former round had filled the buffer to its last byte.
    if (result != Z_OK && result != Z_BUF_ERROR) {
      zlib_->usable = false;
      return Fail(Code::kInvalidArgument, "spdy: a header block is damaged or longer than ", limit_, " bytes");
    }
    if (stream.avail_out > 0) return out;
  }
}

struct HeaderDeflater::Zlib {
  // Few and short headers go this way: a small window and little memory are plenty.
  Zlib() {
    usable = deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 11, 2, Z_DEFAULT_STRATEGY) == Z_OK &&
             deflateSetDictionary(&stream, DictionaryBytes(), static_cast<uInt>(Dictionary().size())) == Z_OK;
  }
  ~Zlib() { deflateEnd(&stream); }
  z_stream stream{};
  bool usable = false;
};

HeaderDeflater::HeaderDeflater() = default;
HeaderDeflater::~HeaderDeflater() = default;

std::string HeaderDeflater::Deflate(const Headers& headers) {
  if (!zlib_) zlib_ = std::make_unique<Zlib>();
  assert(zlib_->usable);
  const std::string text = HeaderText(headers);
  z_stream& stream = zlib_->stream;
  stream.next_in = In(text);
  stream.avail_in = static_cast<uInt>(text.size());
  std::string out;
  char piece[512];
  do {
    stream.next_out = reinterpret_cast<Bytef*>(piece);
    stream.avail_out = sizeof piece;
    deflate(&stream, Z_SYNC_FLUSH);
    out.append(piece, sizeof piece - stream.avail_out);
  } while (stream.avail_out == 0);
  return out;
}

}  // namespace berth::spdy
