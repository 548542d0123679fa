#include "state/leftovers.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace berth::state {

using base::TimePoint;

std::chrono::milliseconds LeftoverQueue::Pause(size_t attempts) const {
  std::chrono::milliseconds pause = options_.first_pause;
  for (size_t i = 0; i < attempts && pause < options_.longest_pause; ++i) pause *= 2;
  return std::min(pause, options_.longest_pause);
}

void LeftoverQueue::Add(std::string id, std::shared_ptr<Ledger> ledger, std::string error,
                        std::function<void()> completed) {
  Item item{.ledger = std::move(ledger), .completed = std::move(completed), .error = std::move(error)};
  item.due = options_.now() + Pause(0);
  items_.Lock()->insert_or_assign(std::move(id), std::move(item));
  if (options_.changed) options_.changed();
}

size_t LeftoverQueue::RunDue(std::chrono::nanoseconds each) {
  const TimePoint now = options_.now();
  std::vector<std::string> due;
  items_.With([&](const auto& items) {
    for (const auto& [id, item] : items) {
      if (!item.running && item.due <= now) due.push_back(id);
    }
  });
  size_t completed = 0;
  for (const std::string& id : due) completed += RunOne(id, base::Context().WithTimeout(each)) ? 1 : 0;
  if (!due.empty() && options_.changed) options_.changed();
  return completed;
}

bool LeftoverQueue::RunOne(const std::string& id, const base::Context& context) {
  std::shared_ptr<Ledger> ledger;
  {
    auto items = items_.Lock();
    const auto at = items->find(id);
    if (at == items->end() || at->second.running || at->second.due > options_.now()) return false;
    at->second.running = true;
    ledger = at->second.ledger;
  }
  const UndoReport report = ledger->Undo(options_.undoers, context);
  std::function<void()> completed;
  {
    auto items = items_.Lock();
    const auto at = items->find(id);
    // Replaced meanwhile: the newer one has its own attempts.
    if (at == items->end() || at->second.ledger != ledger) return report.complete();
    Item& item = at->second;
    if (!report.complete()) {
      item.running = false;
      item.error = report.Text();
      item.due = options_.now() + Pause(++item.attempts);
      return false;
    }
    completed = std::move(item.completed);
    items->erase(at);
  }
  if (completed) completed();
  return true;
}

TimePoint LeftoverQueue::NextDue() const {
  TimePoint next = TimePoint::max();
  auto items = items_.Lock();
  for (const auto& [id, item] : *items) {
    if (!item.running) next = std::min(next, item.due);
  }
  return next;
}

size_t LeftoverQueue::size() const {
  return items_.Lock()->size();
}

std::vector<LeftoverQueue::Leftover> LeftoverQueue::List() const {
  std::vector<Leftover> out;
  auto items = items_.Lock();
  for (const auto& [id, item] : *items) out.push_back({id, item.attempts, item.due, item.error});
  return out;
}

base::Result<std::vector<std::string>> OrphanedLedgers(const base::Path& run_folder, const base::Path& state_folder,
                                                       const std::function<bool(const std::string&)>& known,
                                                       const std::string& ledger_name) {
  std::set<std::string> found;
  for (const base::Path* folder : {&run_folder, &state_folder}) {
    auto ids = base::ListFolder(*folder);
    if (!ids && ids.error().err == ENOENT) continue;
    if (!ids) return tl::make_unexpected(std::move(ids).error());
    for (std::string& id : *ids) {
      if (base::Exists(*folder / id / ledger_name) && !known(id)) found.insert(std::move(id));
    }
  }
  return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace berth::state
