// SPDY frames from a client: however they are cut into pieces, and whoever takes the content of data frames, the same
// is found in them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spdy/frame.h"

namespace spdy = berth::spdy;

namespace {

struct Recorder final : spdy::FrameVisitor {
  berth::base::Status OnControl(const spdy::Control& control) override {
    found += berth::base::Cat("c", static_cast<int>(control.type), ",", control.flags, ",", control.stream, ",",
                              control.value, ",", control.associated, ",", control.priority, ",", control.block);
    return {};
  }
  berth::base::Status OnData(uint32_t stream, std::string_view piece, bool fin) override {
    if (stream == 0) std::abort();
    for (const char c : piece) found += berth::base::Cat("d", stream, c);
    if (fin) found += berth::base::Cat("f", stream);
    return {};
  }
  std::string found;
};

std::string Read(std::string_view bytes, size_t piece, bool skips, bool& failed) {
  Recorder recorder;
  spdy::FrameReader reader(recorder, 4096);
  failed = false;
  while (!bytes.empty() && !failed) {
    const auto open = reader.open_frame();
    std::string_view part = bytes.substr(0, piece);
    if (skips && open.left > 0) {
      part = part.substr(0, open.left);
      for (const char c : part) recorder.found += berth::base::Cat("d", open.stream, c);
      failed = !reader.Skip(static_cast<uint32_t>(part.size()));
    } else {
      failed = !reader.Feed(part);
    }
    bytes.remove_prefix(part.size());
  }
  return recorder.found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool whole_failed = false;
  bool cut_failed = false;
  const std::string whole = Read(bytes, bytes.size() + 1, false, whole_failed);
  const std::string cut = Read(bytes, 1 + data[0] % 16, data[0] >= 128, cut_failed);
  if (whole != cut || whole_failed != cut_failed) std::abort();
  return 0;
}
