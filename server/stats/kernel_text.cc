#include "server/stats/kernel_text.h"

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace berth::stats {
namespace {

constexpr uint64_t kNoLimit = uint64_t{1} << 62;  // v1 writes the largest multiple of a page

template <typename T>
std::optional<T> Whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes the text up to `separator`, and it too, off the front.
std::string_view Take(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

std::optional<PressureLine> ParsePressureLine(std::string_view rest) {
  PressureLine line;
  bool has_total = false;
  while (!rest.empty()) {
    std::string_view word = Take(rest, ' ');
    const std::string_view key = Take(word, '=');
    if (key == "total") {
      const auto micros = Whole<uint64_t>(word);
      if (!micros) return std::nullopt;
      line.total_ns = *micros * 1000;
      has_total = true;
      continue;
    }
    double* into = key == "avg10"    ? &line.avg10
                   : key == "avg60"  ? &line.avg60
                   : key == "avg300" ? &line.avg300
                                     : nullptr;
    if (into == nullptr) continue;
    const auto percent = Whole<double>(word);
    if (!percent) return std::nullopt;
    *into = *percent;
  }
  if (!has_total) return std::nullopt;
  return line;
}

DeviceIo* Device(std::vector<DeviceIo>& devices, std::string_view name) {
  const auto major = Whole<uint32_t>(Take(name, ':'));
  const auto minor = Whole<uint32_t>(name);
  if (!major || !minor) return nullptr;
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const DeviceIo& one) { return one.major == *major && one.minor == *minor; });
  if (found != devices.end()) return &*found;
  return &devices.emplace_back(DeviceIo{.major = *major, .minor = *minor});
}

void AddBlkio(std::vector<DeviceIo>& devices, std::string_view text, uint64_t DeviceIo::*read,
              uint64_t DeviceIo::*write, uint64_t DeviceIo::*discard) {
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    const std::string_view name = Take(line, ' ');
    const std::string_view what = Take(line, ' ');
    uint64_t DeviceIo::*into = what == "Read" ? read : what == "Write" ? write : what == "Discard" ? discard : nullptr;
    const auto value = Whole<uint64_t>(line);
    if (into == nullptr || !value) continue;
    if (DeviceIo* device = Device(devices, name)) device->*into = *value;
  }
}

}  // namespace

std::optional<uint64_t> ParseNumber(std::string_view text) {
  const auto value = Whole<uint64_t>(base::Trim(text));
  if (!value || *value >= kNoLimit) return std::nullopt;
  return value;
}

void EachKeyedNumber(std::string_view text, const std::function<void(std::string_view, uint64_t)>& visit) {
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    const std::string_view key = Take(line, ' ');
    if (const auto value = Whole<uint64_t>(line)) visit(key, *value);
  }
}

std::optional<Pressure> ParsePressure(std::string_view text) {
  Pressure out;
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    const std::string_view kind = Take(line, ' ');
    if (kind == "some")
      out.some = ParsePressureLine(line);
    else if (kind == "full")
      out.full = ParsePressureLine(line);
  }
  if (!out.some && !out.full) return std::nullopt;
  return out;
}

std::vector<DeviceIo> ParseIoStat(std::string_view text) {
  std::vector<DeviceIo> out;
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    const std::string_view name = Take(line, ' ');
    if (line.empty()) continue;  // a device that has gone is a bare name
    DeviceIo* device = Device(out, name);
    if (device == nullptr) continue;
    while (!line.empty()) {
      std::string_view word = Take(line, ' ');
      const std::string_view key = Take(word, '=');
      const auto value = Whole<uint64_t>(word);
      if (!value) continue;
      if (key == "rbytes")
        device->read_bytes = *value;
      else if (key == "wbytes")
        device->write_bytes = *value;
      else if (key == "rios")
        device->reads = *value;
      else if (key == "wios")
        device->writes = *value;
      else if (key == "dbytes")
        device->discard_bytes = *value;
      else if (key == "dios")
        device->discards = *value;
    }
  }
  return out;
}

std::vector<DeviceIo> ParseBlkio(std::string_view bytes, std::string_view operations) {
  std::vector<DeviceIo> out;
  AddBlkio(out, bytes, &DeviceIo::read_bytes, &DeviceIo::write_bytes, &DeviceIo::discard_bytes);
  AddBlkio(out, operations, &DeviceIo::reads, &DeviceIo::writes, &DeviceIo::discards);
  return out;
}

}  // namespace berth::stats
