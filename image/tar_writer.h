// A tar archive written in one pass, ustar with PAX headers where ustar has no room (pax(1)).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/tar_reader.h"

namespace berth::image {

// Errors are final. Not thread-safe.
class TarWriter {
 public:
  // `file` is borrowed; `what` names it in errors.
  TarWriter(int file, std::string what) : file_(file), what_(std::move(what)) {}

  // Everything but a kFile's content. A name ends in no slash.
  base::Status Add(const TarEntry& entry);
  // A kFile of entry.size bytes that are read from `source`. Whoever owns the file may change it meanwhile: what it
  // lacks in the end are zeros, what it has more is left out.
  base::Status AddFile(const TarEntry& entry, int source);
  base::Status AddText(std::string_view name, std::string_view text);  // mode 0600, root's
  // The end of the archive; all has been given to the kernel.
  base::Status Finish();

  uint64_t bytes() const { return bytes_; }

 private:
  base::Status WriteHeader(const TarEntry& entry, char type, std::string_view name, uint64_t size);
  base::Status Write(std::string_view bytes);
  base::Status Pad();
  base::Status Flush();

  const int file_;
  const std::string what_;
  std::string buffer_;
  uint64_t bytes_ = 0;
};

}  // namespace berth::image
