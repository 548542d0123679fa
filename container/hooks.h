// Hooks that an administrator gives to containers by files (oci-hooks(5), version 1.0.0): which program, at which
// stages of the runtime, and for which containers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "oci/spec.h"

namespace berth::oci {

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
  void AddTo(Hooks& hooks) const;                  // at each of its stages

 private:
  struct Rule;
  explicit HookFile(std::unique_ptr<const Rule> rule);
  std::unique_ptr<const Rule> rule_;
};

// Adds the hooks of every *.json in `folders` that match, in the order of the files' names; of two files of one name
// the one of the later folder counts. A missing folder is an empty one; a file that cannot be read or is wrong is an
// error that names it.
base::Status AddHooks(const std::vector<base::Path>& folders, const HookSubject& subject, Hooks& hooks);

}  // namespace berth::oci
