#include "container/exec_files.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "oci/runtime.h"

namespace berth::container {

base::Path MemoryFile::path() const {
  return base::Cat("/proc/", getpid(), "/fd/", fd.get());
}

base::Result<MemoryFile> MakeMemoryFile(const char* name, std::string_view content) {
  MemoryFile file{base::UniqueFd(memfd_create(name, MFD_CLOEXEC))};
  if (!file.fd) return base::FailErrno(errno, "memfd_create");
  RETURN_IF_ERROR(base::WriteAll(file.fd.get(), content, name));
  return file;
}

base::Result<std::string> ProcessJson(const base::Path& pattern, const std::vector<std::string>& command,
                                      bool terminal) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(pattern));
  ASSIGN_OR_RETURN(nlohmann::json process, json::Parse(text, pattern.native()));
  process["args"] = command;
  process["terminal"] = terminal;
  if (!terminal) return json::Dump(process);
  ASSIGN_OR_RETURN(std::vector<std::string> environment, json::Strings(process, "env", pattern.native()));
  const auto is_term = [](const std::string& entry) { return entry.starts_with("TERM="); };
  if (std::ranges::none_of(environment, is_term)) environment.emplace_back("TERM=xterm");
  process["env"] = environment;
  return json::Dump(process);
}

base::Result<int> ExecCode(const base::ExitStatus& exit, int runtime_log, std::string_view what) {
  if (exit.code != 0 && lseek(runtime_log, 0, SEEK_SET) == 0) {
    const auto text = base::ReadAll(runtime_log, 1 << 16, "the runtime's log");
    const std::string reason = text ? oci::ErrorText(*text) : "";
    if (!reason.empty()) return base::Fail(base::Code::kInternal, what, ": ", reason);
  }
  return exit.code;
}

}  // namespace berth::container
