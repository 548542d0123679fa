// One object's ledger: what has to be undone, written down before it is done.
//
// Roll-back, stop, remove and recovery after a crash are all the same walk: backwards over the entries, undoing each.
// Kernel effects (mounts, namespaces, cgroups, processes) die with the boot and are kept in the run root's file,
// effects that outlive it (CNI ADD, folders of the state root) in the state root's. Each file is a list of lines,
//
//   <crc32c of the JSON, 8 hex digits> <JSON>\n
//
// with {"op":"intend","seq","kind","target","details"}, {"op":"undone","seq"} or {"op":"own","seq"} (all entries up to
// seq). A line that is torn was never acted upon and is ignored, so a crash at any byte is harmless. "undone" lines may
// be lost: undoing is idempotent, and entries are undone again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::state {

struct Entry {
  std::string kind;    // "mount", "netns", "cni", ...: chooses the undoer
  std::string target;  // path, id or name: what is affected
  std::map<std::string, std::string> details{};
  bool durable = false;  // outlives a reboot: kept in the state root's file
  // Set by the ledger.
  uint64_t seq = 0;  // from 1, rising, over both files
  bool owned = false;
};

// Takes an effect back. Must be idempotent and succeed when it is already gone or never happened.
using Undoer = std::function<base::Status(const Entry&, const base::Context&)>;
using Undoers = std::map<std::string, Undoer, std::less<>>;

struct UndoReport {
  struct Left {
    Entry entry;
    base::Error error;
  };
  size_t undone = 0;
  std::vector<Left> left;  // in the order of the attempts
  bool complete() const { return left.empty(); }
  // "netns /run/netns/x: ...; mount /y: ...", empty when complete: for Error::clean_up.
  std::string Text() const;
};

// Thread-safe. No descriptor is kept open. Calls append to files: quick in the run root, seldom slow in the state root.
class Ledger {
 public:
  struct Files {
    base::Path run;    // e.g. /run/berth/sandboxes/<id>/ledger
    base::Path state;  // e.g. /var/lib/berth/sandboxes/<id>/ledger
  };

  // Reads what is there; missing files are empty ones. Folders are made when the first entry is written. `same_boot`
  // false: entries of the run root's file count as undone and that file is removed. Unreadable lines are skipped and
  // counted; a file that cannot be read at all is set aside as <name>.bad and counts as one.
  static base::Result<std::unique_ptr<Ledger>> Load(Files files, bool same_boot);

  // Writes the intent down; only then may the effect be caused. The entry's seq is returned. kVolatile leaves a durable
  // entry's line in the page cache, safe from our crash but not from a power cut until Sync(). An error: nothing was
  // recorded, do not act. After Fence(): kCancelled.
  base::Result<uint64_t> Intend(Entry entry, base::Durability durability = base::Durability::kVolatile);

  // The step has returned, well or not: it will cause nothing more. Matters after Fence() alone.
  void Done(uint64_t seq);

  // Flushes the state root's file, its name and its folder's name. Meant to run beside a slow step.
  base::Status Sync();

  // The object is complete: all entries so far belong to it.
  base::Status Own();

  // Undoes entries that `which` accepts (all without it), last first. One that fails does not stop the others. What was
  // undone is forgotten, what was not stays for the next call. When no entry is left both files are removed, and their
  // folders if they are empty.
  // A full disk does not matter. Undoers run without the ledger's lock. One Undo at a time: a second waits until the
  // first has ended, which tries again what is due after a restart, say. That lasts as long as its context and kTurn
  // allow: then it reports one thing left, kUnavailable.
  static constexpr std::chrono::seconds kTurn{10};
  UndoReport Undo(const Undoers& undoers, const base::Context& context,
                  const std::function<bool(const Entry&)>& which = nullptr);

  // For an operation given up at its deadline while a step of it is still stuck: no further entries are accepted, and
  // entries whose step is not Done() stay in the ledger even when undone, because the late effect may still come.
  void Fence();
  // The stuck body has returned: every step counts as done.
  void Settle();

  std::vector<Entry> entries() const;  // what is still to be undone, oldest first
  bool empty() const;
  bool owned() const;      // there are entries and all of them are owned
  size_t damaged() const;  // lines that Load could not read, a torn last one not counted
  const Files& files() const { return files_; }

 private:
  struct Live {
    Entry entry;
    bool done = false;
  };
  struct FileState {
    bool exists = false;
    bool torn = false;    // the last line lacks its newline: begin with one
    bool synced = false;  // the file's name is on disk
  };

  explicit Ledger(Files files) : files_(std::move(files)) {}
  base::Status LoadFile(const base::Path& path, bool durable, FileState& state);
  base::Status ReadLine(std::string_view line, bool durable);
  base::Status Append(bool durable, const std::string& json);
  base::Status RemoveFiles();
  bool TakeTurn(const base::Context& context);
  UndoReport UndoInTurn(const Undoers& undoers, const base::Context& context,
                        const std::function<bool(const Entry&)>& which);

  const Files files_;
  std::condition_variable turn_;  // undoing_ has become false
  // Guards what follows, and keeps appended lines in order: it is held over write(2) to the object's own small files.
  mutable std::mutex mutex_;
  std::map<uint64_t, Live> live_;
  uint64_t next_seq_ = 1;
  size_t damaged_ = 0;
  bool fenced_ = false;
  bool undoing_ = false;
  FileState run_;
  FileState state_;
};

}  // namespace berth::state
