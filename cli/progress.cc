#include "cli/progress.h"

#include <algorithm>
#include <cmath>

#include "base/result.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

constexpr size_t kBarWidth = 24;

bool Complete(const v1::LayerProgress& layer) {
  return layer.state() == v1::LAYER_DONE || layer.state() == v1::LAYER_PRESENT;
}

std::string Bar(double part) {
  const auto filled = static_cast<size_t>(std::lround(std::clamp(part, 0.0, 1.0) * kBarWidth));
  return base::Cat("[", std::string(filled, '='), std::string(kBarWidth - filled, ' '), "]");
}

double Part(int64_t done, int64_t total) {
  return total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
}

std::string Amount(int64_t done, int64_t total) {
  return base::Cat(Bytes(static_cast<uint64_t>(std::max<int64_t>(done, 0))), " of ",
                   Bytes(static_cast<uint64_t>(std::max<int64_t>(total, 0))));
}

std::string LayerLine(const v1::LayerProgress& layer, double rate) {
  const std::string head = base::Cat(ShortId(layer.digest()), "  ");
  const auto size = static_cast<uint64_t>(std::max<int64_t>(layer.total_bytes(), 0));
  switch (layer.state()) {
    case v1::LAYER_PRESENT:
      return base::Cat(head, "is here already");
    case v1::LAYER_DONE:
      return base::Cat(head, "done, ", Bytes(size));
    case v1::LAYER_UNPACKING:
      return base::Cat(head, Bar(1), " unpacking ", Bytes(size));
    case v1::LAYER_DOWNLOADING:
      return base::Cat(head, Bar(Part(layer.done_bytes(), layer.total_bytes())), " ",
                       Amount(layer.done_bytes(), layer.total_bytes()), "  ", Bytes(static_cast<uint64_t>(rate)), "/s");
    default:
      return base::Cat(head, "waiting, ", Bytes(size));
  }
}

}  // namespace

void PullProgress::Update(const v1::PullProgressEvent& event, base::TimePoint now) {
  event_ = event;
  for (const v1::LayerProgress& layer : event.layers()) {
    const auto [found, is_new] = speeds_.try_emplace(layer.digest(), Speed{.at = now, .bytes = layer.done_bytes()});
    Speed& speed = found->second;
    const double seconds = std::chrono::duration<double>(now - speed.at).count();
    if (is_new || seconds <= 0) continue;
    const double rate = static_cast<double>(std::max<int64_t>(0, layer.done_bytes() - speed.bytes)) / seconds;
    // Older figures fade; the first one counts whole.
    const double weight = speed.rate > 0 ? 1 - std::exp(-seconds / 2) : 1;
    speed = {.at = now, .bytes = layer.done_bytes(), .rate = speed.rate + weight * (rate - speed.rate)};
  }
}

std::vector<std::string> PullProgress::Lines(size_t columns, size_t rows) const {
  if (event_.layers().empty() || rows == 0) return {};
  int64_t done = 0, total = 0;
  double rate = 0;
  std::vector<const v1::LayerProgress*> shown;
  for (const v1::LayerProgress& layer : event_.layers()) {
    shown.push_back(&layer);
    if (layer.state() == v1::LAYER_PRESENT) continue;
    total += layer.total_bytes();
    done += layer.state() == v1::LAYER_DONE ? layer.total_bytes() : layer.done_bytes();
    const auto speed = speeds_.find(layer.digest());
    if (layer.state() == v1::LAYER_DOWNLOADING && speed != speeds_.end()) rate += speed->second.rate;
  }
  if (shown.size() + 1 > rows) {
    std::stable_partition(shown.begin(), shown.end(), [](const auto* layer) {
      return layer->state() == v1::LAYER_DOWNLOADING || layer->state() == v1::LAYER_UNPACKING;
    });
    shown.resize(rows - 1);
  }
  std::vector<std::string> out;
  for (const auto* layer : shown) {
    const auto speed = speeds_.find(layer->digest());
    out.push_back(LayerLine(*layer, speed == speeds_.end() ? 0 : speed->second.rate));
  }
  const auto complete = std::ranges::count_if(event_.layers(), Complete);
  out.push_back(base::Cat(complete, " of ", event_.layers_size(), " layers, ", Amount(done, total), "  ",
                          Bytes(static_cast<uint64_t>(rate)), "/s"));
  for (std::string& line : out) line.resize(std::min(line.size(), columns));
  return out;
}

std::vector<std::string> PullProgress::TakeNews() {
  std::vector<std::string> out;
  for (const v1::LayerProgress& layer : event_.layers()) {
    if (Complete(layer) && told_.insert(layer.digest()).second) out.push_back(LayerLine(layer, 0));
  }
  return out;
}

}  // namespace berth::cli
