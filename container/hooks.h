// Hooks that an administrator gives to containers by files (oci-hooks(5), version 1.0.0): which program, at which
// stages of the runtime, and for which containers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "container/spec_folders.h"
#include "oci/spec.h"

namespace berth::container {

// What the conditions look at.
struct HookSubject {
  std::string command;  // the first of the process's arguments
  std::map<std::string, std::string> annotations;
  bool has_bind_mounts = false;  // besides the runtime's own
};

class HookFile {
 public:
  // `what` begins an error's text. kInvalidArgument for another version, an unknown stage or condition, a path that is
  // not absolute, a regular expression that is none, and no condition at all.
  static base::Result<HookFile> Parse(std::string_view text, std::string_view what);
  HookFile(HookFile&&) noexcept;
  HookFile& operator=(HookFile&&) noexcept;
  ~HookFile();

  bool Matches(const HookSubject& subject) const;  // all conditions hold
  void AddTo(oci::Hooks& hooks) const;             // at each of its stages

 private:
  struct Rule;
  explicit HookFile(std::unique_ptr<const Rule> rule);
  std::unique_ptr<const Rule> rule_;
};

// Thread-safe. Two files of one name: that of the later folder counts.
class HookFolders {
 public:
  explicit HookFolders(std::vector<base::Path> folders) : files_(std::move(folders), {".json"}, HookFile::Parse) {}

  // Adds the hooks that match, in the order of their files' names. A file that cannot be used is an error that names
  // it: a hook that guards something must not be passed over.
  base::Status AddTo(const HookSubject& subject, oci::Hooks& hooks) const;

 private:
  SpecFolders<HookFile> files_;
};

}  // namespace berth::container
