#include "network/plugin.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"
#include "json/json.h"

namespace berth::network {
namespace {

using base::Cat;
using base::Code;

constexpr size_t kTextLimit = 1024;  // of a plugin's words in an error
constexpr int kBusyRetries = 5;
constexpr std::chrono::milliseconds kBusyWait{20};  // doubled each time

std::vector<std::string> Environ(const Environment& variables, std::string_view command, const std::string& cni_path,
                                 const std::string& request) {
  std::vector<std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("CNI_")) out.emplace_back(*entry);
  }
  for (const auto& [key, value] : variables) out.push_back(Cat(key, "=", value));
  out.push_back(Cat("CNI_COMMAND=", command));
  out.push_back(Cat("CNI_PATH=", cni_path));
  if (!request.empty()) out.push_back(Cat("BERTH_REQUEST_ID=", request));
  return out;
}

std::string Begin(std::string_view type, std::string_view command) {
  return Cat("plugin ", type, " failed (", command, ")");
}

std::string_view Shortened(std::string_view text) {
  return base::Trim(text.substr(0, kTextLimit));
}

// A binary being replaced is busy for a moment (ETXTBSY): the network provider's installer is at work.
base::Result<base::RunResult> RunUnlessBusy(const base::RunOptions& options, const base::Context& context) {
  auto wait = kBusyWait;
  for (int retry = 0;; ++retry, wait *= 2) {
    auto result = base::Run(options, context);
    if (result || result.error().err != ETXTBSY || retry == kBusyRetries) return result;
    RETURN_IF_ERROR(context.Wait(-1, 0, options.spawn.program.native(), base::Monotonic::now() + wait));
  }
}

Code CodeOf(int plugin_code) {
  constexpr int kTryAgainLater = 11;
  constexpr int kNotAvailable = 50;
  constexpr int kNotAvailableAndPodsAffected = 51;
  const bool passing =
      plugin_code == kTryAgainLater || plugin_code == kNotAvailable || plugin_code == kNotAvailableAndPodsAffected;
  return passing ? Code::kUnavailable : Code::kInternal;
}

}  // namespace

PluginFailure ParseFailure(std::string_view type, std::string_view command, std::string_view output,
                           std::string_view errors, std::string_view exit) {
  PluginFailure failure;
  std::string said;
  if (const auto document = json::Parse(output, "error"); document && document->is_object()) {
    const auto message = json::String(*document, "msg", "error");
    const auto details = json::String(*document, "details", "error");
    const auto code = json::Int(*document, "code", "error");
    if (code && *code && **code > 0 && **code < 1 << 30) failure.code = static_cast<int>(**code);
    if (message && !message->empty()) said = Shortened(*message);
    if (details && !details->empty()) said += Cat(said.empty() ? "" : "; ", Shortened(*details));
    if (said.empty() && failure.code != 0) said = Cat("code ", failure.code);
  }
  if (said.empty()) {
    const std::string_view words = Shortened(Shortened(errors).empty() ? output : errors);
    said = words.empty() ? Cat(exit, ", it said nothing") : Cat(exit, ": ", words);
  }
  failure.error = {.code = CodeOf(failure.code), .message = Cat(Begin(type, command), ": ", said)};
  return failure;
}

ProcessRunner::ProcessRunner(std::vector<base::Path> folders, int held) : folders_(std::move(folders)), held_(held) {
  for (const base::Path& folder : folders_) cni_path_ += Cat(cni_path_.empty() ? "" : ":", folder.native());
}

base::Result<base::Path> ProcessRunner::Find(std::string_view type) const {
  for (const base::Path& folder : folders_) {
    base::Path path = folder / type;
    struct stat status {};
    if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0) return path;
  }
  return base::Fail(Code::kNotFound, "plugin ", type, " not found in ", cni_path_);
}

base::Result<std::string> ProcessRunner::Exec(std::string_view type, std::string_view command,
                                              const Environment& variables, std::string_view config,
                                              const base::Context& context, int* code) {
  if (code != nullptr) *code = 0;
  ASSIGN_OR_RETURN(base::Path program, Find(type), Begin(type, command));
  base::RunOptions options;
  options.spawn.arguments = {program.native()};
  options.spawn.program = std::move(program);
  options.spawn.environment = Environ(variables, command, cni_path_, context.id());
  if (held_ >= 0) options.spawn.fds.emplace_back(held_, kHeldFd);
  options.input = config;
  const base::TimePoint begun = base::Monotonic::now();
  auto result = RunUnlessBusy(options, context);
  if (!result) {
    base::Error error = std::move(result).error();
    if (error.code == Code::kDeadlineExceeded || error.code == Code::kCancelled) {
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(base::Monotonic::now() - begun);
      error.message =
          Cat("it did not end within ", took.count(), " ms and was killed (", base::CodeName(error.code), ")");
    }
    return tl::make_unexpected(base::Wrap(std::move(error), Begin(type, command)));
  }
  if (result->exit.code != 0) {
    PluginFailure failure = ParseFailure(type, command, result->output, result->errors, result->exit.Text());
    if (code != nullptr) *code = failure.code;
    return tl::make_unexpected(std::move(failure.error));
  }
  if (result->output_cut) return base::Fail(Code::kInternal, Begin(type, command), ": its answer is too long");
  return std::move(result->output);
}

}  // namespace berth::network
