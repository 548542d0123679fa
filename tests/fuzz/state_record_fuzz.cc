// State files as a broken disk may return them: a record, the two files of a ledger, and a timeline.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file.h"
#include "state/ledger.h"
#include "state/slot_file.h"
#include "state/timelines.h"

namespace {

using berth::base::Durability;
using berth::base::Path;

const Path& Folder() {
  // Never destroyed: removed at exit, when local statics may be gone already.
  static const Path* const folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "berth-fuzz-XXXXXX").native();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    std::atexit([] { (void)berth::base::RemoveTree(Folder()); });
    return new Path(name);
  }();
  return *folder;
}

void Require(bool right) {
  if (!right) std::abort();
}

void TryRecord() {
  auto file = berth::state::SlotFile::Open(Folder() / "record");
  if (!file) return;
  Require(file->Read().has_value());
  Require(file->Write("new", Durability::kVolatile).has_value());
  auto again = berth::state::SlotFile::Open(Folder() / "record");
  Require(again && *again->Read() == "new");
}

void TryLedger() {
  const berth::state::Ledger::Files files{Folder() / "record", Folder() / "state/ledger"};
  auto ledger = berth::state::Ledger::Load(files, /*same_boot=*/true);
  if (!ledger) return;
  const size_t before = (*ledger)->entries().size();
  if (!(*ledger)->Intend({.kind = "mount", .target = "/x"})) return;
  auto again = berth::state::Ledger::Load(files, true);
  Require(again && (*again)->entries().size() == before + 1);
}

void TryTimeline() {
  const berth::state::Timelines timelines(Folder());
  (void)berth::state::ToJsonText(timelines.Read("record"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Require(berth::base::WriteFile(Folder() / "record", bytes).has_value());
  TryLedger();
  Require(berth::base::WriteFile(Folder() / "record", bytes).has_value());
  TryTimeline();
  TryRecord();
  return 0;
}
