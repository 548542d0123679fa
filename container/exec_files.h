// What every exec needs: memory files of ours, which the OCI runtime opens through /proc, and how its end is
// understood.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/child.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::container {

struct MemoryFile {
  base::UniqueFd fd;
  base::Path path() const;
};
base::Result<MemoryFile> MakeMemoryFile(const char* name, std::string_view content);

// The container's process.json with another command. A terminal gets TERM when there is none.
base::Result<std::string> ProcessJson(const base::Path& pattern, const std::vector<std::string>& command,
                                      bool terminal);

// The exit code of the process; or the runtime's own failure, which is in its log: then there was no process.
base::Result<int> ExecCode(const base::ExitStatus& exit, int runtime_log, std::string_view what);

}  // namespace berth::container
