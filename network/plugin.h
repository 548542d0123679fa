// Running one CNI plugin once (CNI spec, section 3).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::network {

using Environment = std::map<std::string, std::string>;

// Thread-safe; calls may run at once.
class PluginRunner {
 public:
  virtual ~PluginRunner() = default;

  // Runs plugin `type` with CNI_COMMAND=`command` and the CNI_* variables of `variables`; `config` is given on stdin.
  // Returns its stdout. Blocks until it has ended or `context` does: then its process group is killed and the
  // context's error returned. Errors read "plugin <type> failed (<command>): <msg>; <details>":
  //   kNotFound            no such binary; the text names the folders searched
  //   kDeadlineExceeded, kCancelled   the context ended first
  //   kUnavailable         the plugin says "try again later" (code 11) or "not available" (50, 51)
  //   kInternal            any other failure; Error::err is 0
  // `code`, when given, receives the plugin's own error code, 0 when it gave none.
  virtual base::Result<std::string> Exec(std::string_view type, std::string_view command, const Environment& variables,
                                         std::string_view config, const base::Context& context,
                                         int* code = nullptr) = 0;

  // The binary that Exec would run. kNotFound as above.
  virtual base::Result<base::Path> Find(std::string_view type) const = 0;
};

// The number of the descriptor that plugins hold (ProcessRunner).
inline constexpr int kHeldFd = 3;

// The real one. Searches `folders` in order, adds CNI_PATH, BERTH_REQUEST_ID (the context's id) and the daemon's own
// environment.
class ProcessRunner : public PluginRunner {
 public:
  // `held`, borrowed, is inherited by each plugin as kHeldFd; -1: nothing is.
  explicit ProcessRunner(std::vector<base::Path> folders, int held = -1);

  base::Result<std::string> Exec(std::string_view type, std::string_view command, const Environment& variables,
                                 std::string_view config, const base::Context& context, int* code = nullptr) override;
  base::Result<base::Path> Find(std::string_view type) const override;

 private:
  std::vector<base::Path> folders_;
  std::string cni_path_;
  const int held_;
};

// What a failed plugin said: `output` is its stdout, `errors` its stderr, `exit` the text of its exit status.
struct PluginFailure {
  int code = 0;  // of the error document; 0 when there was none
  base::Error error;
};
PluginFailure ParseFailure(std::string_view type, std::string_view command, std::string_view output,
                           std::string_view errors, std::string_view exit);

}  // namespace berth::network
