#include "state/ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "state/checksum.h"

namespace berth::state {

using base::Code;
using base::Durability;
using base::Error;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxFile = 8 << 20;
constexpr size_t kMaxEntries = 10'000;
constexpr size_t kChecksum = 8;
constexpr int64_t kMaxSeq = int64_t{1} << 62;

std::string IntendLine(const Entry& entry) {
  nlohmann::json line = {{"op", "intend"}, {"seq", entry.seq}, {"kind", entry.kind}, {"target", entry.target}};
  if (!entry.details.empty()) line["details"] = entry.details;
  return json::Dump(line);
}

std::string MarkLine(std::string_view op, uint64_t seq) {
  return json::Dump({{"op", op}, {"seq", seq}});
}

}  // namespace

std::string UndoReport::Text() const {
  constexpr size_t kShown = 5;
  std::string out;
  for (size_t i = 0; i < std::min(left.size(), kShown); ++i) {
    if (i > 0) out += "; ";
    out += base::Cat(left[i].entry.kind, " ", left[i].entry.target, ": ", left[i].error.Text());
  }
  if (left.size() > kShown) out += base::Cat("; and ", left.size() - kShown, " more");
  return out;
}

Result<std::unique_ptr<Ledger>> Ledger::Load(Files files, bool same_boot) {
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(files)));
  std::lock_guard lock(ledger->mutex_);
  if (same_boot) {
    RETURN_IF_ERROR(ledger->LoadFile(ledger->files_.run, /*durable=*/false, ledger->run_));
  } else {
    RETURN_IF_ERROR(base::RemoveFile(ledger->files_.run));
  }
  RETURN_IF_ERROR(ledger->LoadFile(ledger->files_.state, /*durable=*/true, ledger->state_));
  return ledger;
}

Status Ledger::LoadFile(const base::Path& path, bool durable, FileState& state) {
  const auto text = base::ReadFile(path, kMaxFile);
  if (!text && (text.error().err == ENOENT || text.error().err == ENOTDIR)) return {};
  if (!text) {
    // Set aside for people to look at: nothing must depend on it.
    const base::Path aside = path.native() + ".bad";
    if (rename(path.c_str(), aside.c_str()) != 0) return tl::make_unexpected(text.error());
    ++damaged_;
    return {};
  }
  state.exists = true;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const Status status = ReadLine(rest.substr(0, end), durable);
    if (end == std::string_view::npos) {
      state.torn = true;
      break;
    }
    if (!status) ++damaged_;
    rest.remove_prefix(end + 1);
  }
  return {};
}

Status Ledger::ReadLine(std::string_view line, bool durable) {
  if (line.empty()) return {};  // begins the line after a torn one
  constexpr std::string_view kWhat = "ledger line";
  if (line.size() < kChecksum + 1 || line[kChecksum] != ' ') return Fail(Code::kInternal, kWhat, ": too short");
  const std::string_view body = line.substr(kChecksum + 1);
  if (ChecksumText(body) != line.substr(0, kChecksum)) return Fail(Code::kInternal, kWhat, ": wrong checksum");
  ASSIGN_OR_RETURN(const nlohmann::json value, json::Parse(body, kWhat));
  ASSIGN_OR_RETURN(const std::string op, json::String(value, "op", kWhat));
  ASSIGN_OR_RETURN(const auto number, json::Int(value, "seq", kWhat));
  if (!number || *number <= 0 || *number > kMaxSeq) return Fail(Code::kInternal, kWhat, ": no sequence number");
  const auto seq = static_cast<uint64_t>(*number);
  next_seq_ = std::max(next_seq_, seq + 1);
  if (op == "undone") {
    live_.erase(seq);
  } else if (op == "own") {
    for (auto& [key, live] : live_)
      live.entry.owned = live.entry.owned || (key <= seq && live.entry.durable == durable);
  } else if (op == "intend") {
    if (live_.size() >= kMaxEntries)
      return Fail(Code::kResourceExhausted, kWhat, ": more than ", kMaxEntries, " entries");
    Entry entry{.durable = durable, .seq = seq};
    ASSIGN_OR_RETURN(entry.kind, json::String(value, "kind", kWhat));
    ASSIGN_OR_RETURN(entry.target, json::String(value, "target", kWhat));
    ASSIGN_OR_RETURN(entry.details, json::StringMap(value, "details", kWhat));
    live_.emplace(seq, Live{std::move(entry), /*done=*/true});
  } else {
    return Fail(Code::kInternal, kWhat, ": unknown op");
  }
  return {};
}

// One write(2): what a crash leaves of it is at most the beginning of a line.
Status Ledger::Append(bool durable, const std::string& json) {
  FileState& state = durable ? state_ : run_;
  const base::Path& path = durable ? files_.state : files_.run;
  if (!state.exists) RETURN_IF_ERROR(base::MakeDirs(path.parent_path(), 0700));
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600));
  state.exists = true;
  const std::string line = base::Cat(state.torn ? "\n" : "", ChecksumText(json), " ", json, "\n");
  state.torn = true;
  RETURN_IF_ERROR(base::WriteAll(fd.get(), line, path.native()));
  state.torn = false;
  return {};
}

Result<uint64_t> Ledger::Intend(Entry entry, Durability durability) {
  const bool sync = entry.durable && durability == Durability::kDurable;
  uint64_t seq = 0;
  {
    std::lock_guard lock(mutex_);
    if (fenced_) {
      return Fail(Code::kCancelled, entry.kind, " ", entry.target, ": the operation was given up at its deadline");
    }
    if (live_.size() >= kMaxEntries) {
      return Fail(Code::kResourceExhausted, entry.kind, " ", entry.target, ": the ledger has ", kMaxEntries,
                  " entries");
    }
    entry.seq = next_seq_;
    entry.owned = false;
    RETURN_IF_ERROR(Append(entry.durable, IntendLine(entry)));
    seq = next_seq_++;
    live_.emplace(seq, Live{std::move(entry)});
  }
  if (sync) RETURN_IF_ERROR(Sync());
  return seq;
}

void Ledger::Done(uint64_t seq) {
  std::lock_guard lock(mutex_);
  if (const auto at = live_.find(seq); at != live_.end()) at->second.done = true;
}

Status Ledger::Sync() {
  bool name_synced = false;
  {
    std::lock_guard lock(mutex_);
    if (!state_.exists) return {};
    name_synced = state_.synced;
  }
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(files_.state, O_RDONLY));
  if (fdatasync(fd.get()) != 0) return FailErrno(errno, "sync ", files_.state.native());
  if (name_synced) return {};
  const base::Path folder = files_.state.parent_path();
  RETURN_IF_ERROR(base::SyncFolder(folder));
  if (folder.has_parent_path()) RETURN_IF_ERROR(base::SyncFolder(folder.parent_path()));
  std::lock_guard lock(mutex_);
  state_.synced = state_.exists;
  return {};
}

Status Ledger::Own() {
  std::lock_guard lock(mutex_);
  bool in_run = false;
  bool in_state = false;
  for (const auto& [seq, live] : live_) {
    if (!live.entry.owned) (live.entry.durable ? in_state : in_run) = true;
  }
  if (in_run) RETURN_IF_ERROR(Append(/*durable=*/false, MarkLine("own", next_seq_ - 1)));
  if (in_state) RETURN_IF_ERROR(Append(/*durable=*/true, MarkLine("own", next_seq_ - 1)));
  for (auto& [seq, live] : live_) live.entry.owned = true;
  return {};
}

bool Ledger::TakeTurn(const base::Context& context) {
  constexpr std::chrono::milliseconds kLook{20};  // for the caller's cancelling
  const base::TimePoint end = std::min(base::Monotonic::now() + kTurn, context.deadline());
  std::unique_lock lock(mutex_);
  while (undoing_ && base::Monotonic::now() < end && context.Check("undo")) turn_.wait_for(lock, kLook);
  return !std::exchange(undoing_, true);
}

UndoReport Ledger::Undo(const Undoers& undoers, const base::Context& context,
                        const std::function<bool(const Entry&)>& which) {
  if (!TakeTurn(context)) {
    return {.left = {{Entry{.kind = "ledger", .target = files_.state.native()},
                      Error{.code = Code::kUnavailable, .message = "is being undone by another call"}}}};
  }
  UndoReport report = UndoInTurn(undoers, context, which);
  std::lock_guard lock(mutex_);
  undoing_ = false;
  turn_.notify_one();
  return report;
}

UndoReport Ledger::UndoInTurn(const Undoers& undoers, const base::Context& context,
                              const std::function<bool(const Entry&)>& which) {
  UndoReport report;
  std::vector<Entry> todo = entries();
  if (which) std::erase_if(todo, [&](const Entry& entry) { return !which(entry); });
  for (auto entry = todo.rbegin(); entry != todo.rend(); ++entry) {
    const auto undoer = undoers.find(entry->kind);
    Status status = undoer != undoers.end() ? undoer->second(*entry, context)
                                            : Status(Fail(Code::kUnimplemented, "no undoer for this kind of entry"));
    std::lock_guard lock(mutex_);
    const auto live = live_.find(entry->seq);
    if (status && fenced_ && !live->second.done) {
      status = Fail(Code::kUnavailable, "undone, but its step has not returned yet");
    }
    if (!status) {
      report.left.push_back({*entry, std::move(status).error()});
      continue;
    }
    live_.erase(live);
    ++report.undone;
    // Should the mark be lost (no byte free), the entry is undone once more after a restart, which changes nothing.
    if (!live_.empty()) (void)Append(entry->durable, MarkLine("undone", entry->seq));
  }
  std::lock_guard lock(mutex_);
  if (live_.empty()) {
    if (Status status = RemoveFiles(); !status) {
      report.left.push_back({Entry{.kind = "ledger", .target = files_.state.native()}, std::move(status).error()});
    }
  }
  return report;
}

Status Ledger::RemoveFiles() {
  for (const base::Path* path : {&files_.run, &files_.state}) {
    RETURN_IF_ERROR(base::RemoveFile(*path));
    rmdir(path->parent_path().c_str());  // ENOTEMPTY: others live there
  }
  run_ = {};
  state_ = {};
  return {};
}

void Ledger::Fence() {
  std::lock_guard lock(mutex_);
  fenced_ = true;
}

void Ledger::Settle() {
  std::lock_guard lock(mutex_);
  for (auto& [seq, live] : live_) live.done = true;
}

std::vector<Entry> Ledger::entries() const {
  std::lock_guard lock(mutex_);
  std::vector<Entry> out;
  out.reserve(live_.size());
  for (const auto& [seq, live] : live_) out.push_back(live.entry);
  return out;
}

bool Ledger::empty() const {
  std::lock_guard lock(mutex_);
  return live_.empty();
}

bool Ledger::owned() const {
  std::lock_guard lock(mutex_);
  return !live_.empty() &&
         std::all_of(live_.begin(), live_.end(), [](const auto& item) { return item.second.entry.owned; });
}

size_t Ledger::damaged() const {
  std::lock_guard lock(mutex_);
  return damaged_;
}

}  // namespace berth::state
