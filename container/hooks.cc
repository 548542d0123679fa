#include "oci/hook_files.h"

#include <fcntl.h>
#include <re2/re2.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::oci {
namespace {

using base::Code;
using base::Fail;
using base::Path;
using Expression = std::unique_ptr<re2::RE2>;
using Stage = std::vector<Hook> Hooks::*;

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxFiles = 1000;       // of all folders
constexpr size_t kMaxExpressions = 100;  // of one file
constexpr int kMaxTimeout = 24 * 3600;

constexpr std::array<std::pair<std::string_view, Stage>, 6> kStages = {{{"prestart", &Hooks::prestart},
                                                                        {"createRuntime", &Hooks::create_runtime},
                                                                        {"createContainer", &Hooks::create_container},
                                                                        {"startContainer", &Hooks::start_container},
                                                                        {"poststart", &Hooks::poststart},
                                                                        {"poststop", &Hooks::poststop}}};

base::Result<Expression> Compile(const std::string& pattern, std::string_view what) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  auto out = std::make_unique<re2::RE2>(pattern, options);
  if (!out->ok())
    return Fail(Code::kInvalidArgument, what, ": \"", pattern, "\" is no regular expression: ", out->error());
  return out;
}

bool Finds(const Expression& expression, const std::string& text) {
  return re2::RE2::PartialMatch(text, *expression);
}

base::Result<Hook> ReadHook(const nlohmann::json& document, std::string_view what) {
  ASSIGN_OR_RETURN(const nlohmann::json* object, json::Object(document, "hook", what));
  if (object == nullptr) return Fail(Code::kInvalidArgument, what, ": hook is missing");
  json::Reader reader(*object, what);
  Hook hook{.path = reader.Text("path"), .args = reader.Texts("args"), .env = reader.Texts("env"), .timeout = {}};
  RETURN_IF_ERROR(reader.status());
  if (!hook.path.starts_with('/')) return Fail(Code::kInvalidArgument, what, ": hook.path is not absolute");
  ASSIGN_OR_RETURN(const auto timeout, json::Int(*object, "timeout", what));
  if (!timeout) return hook;
  if (*timeout < 1 || *timeout > kMaxTimeout)
    return Fail(Code::kInvalidArgument, what, ": hook.timeout is not within a second and a day");
  hook.timeout = static_cast<int>(*timeout);
  return hook;
}

base::Result<std::vector<Stage>> ReadStages(const nlohmann::json& document, std::string_view what) {
  ASSIGN_OR_RETURN(const auto names, json::Strings(document, "stages", what));
  std::vector<Stage> out;
  for (const std::string& name : names) {
    const auto* const stage =
        std::find_if(kStages.begin(), kStages.end(), [&](const auto& one) { return one.first == name; });
    if (stage == kStages.end()) return Fail(Code::kInvalidArgument, what, ": stage \"", name, "\" is unknown");
    if (std::find(out.begin(), out.end(), stage->second) == out.end()) out.push_back(stage->second);
  }
  if (out.empty()) return Fail(Code::kInvalidArgument, what, ": stages are missing");
  return out;
}

// A file that is no file is not opened: a FIFO would be waited for.
base::Result<std::string> ReadRegular(const Path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return base::FailErrno(errno, "stat ", path.native());
  if (!S_ISREG(info.st_mode)) return Fail(Code::kInvalidArgument, path.native(), " is not a regular file");
  return base::ReadFile(path, kMaxFile);
}

// By name; a later folder's file takes the place of an earlier one's.
base::Result<std::map<std::string, Path>> FindFiles(const std::vector<Path>& folders) {
  std::map<std::string, Path> out;
  for (const Path& folder : folders) {
    const auto names = base::ListFolder(folder);
    if (!names && names.error().err == ENOENT) continue;
    if (!names) return tl::make_unexpected(names.error());
    for (const std::string& name : *names) {
      if (name.ends_with(".json") && !name.starts_with('.')) out[name] = folder / name;
    }
    if (out.size() > kMaxFiles) return Fail(Code::kResourceExhausted, "more than ", kMaxFiles, " files with hooks");
  }
  return out;
}

}  // namespace

struct HookFile::Rule {
  Hook hook;
  std::vector<Stage> stages;
  std::optional<bool> always;
  std::optional<bool> has_bind_mounts;
  std::vector<Expression> commands;
  std::vector<std::pair<Expression, Expression>> annotations;

  base::Status ReadConditions(const nlohmann::json& when, std::string_view what);
  bool AnyCommand(const std::string& command) const {
    return std::any_of(commands.begin(), commands.end(), [&](const auto& one) { return Finds(one, command); });
  }
};

base::Status HookFile::Rule::ReadConditions(const nlohmann::json& when, std::string_view what) {
  for (const auto& [key, value] : when.items()) {
    if (key == "always" || key == "hasBindMounts") {
      ASSIGN_OR_RETURN((key == "always" ? always : has_bind_mounts), json::Bool(when, key, what));
    } else if (key == "commands") {
      ASSIGN_OR_RETURN(const auto patterns, json::Strings(when, key, what));
      for (const std::string& pattern : patterns) {
        ASSIGN_OR_RETURN(Expression expression, Compile(pattern, what));
        commands.push_back(std::move(expression));
      }
    } else if (key == "annotations") {
      ASSIGN_OR_RETURN(const auto patterns, json::StringMap(when, key, what));
      for (const auto& [name, wanted] : patterns) {
        ASSIGN_OR_RETURN(Expression its_name, Compile(name, what));
        ASSIGN_OR_RETURN(Expression its_value, Compile(wanted, what));
        annotations.emplace_back(std::move(its_name), std::move(its_value));
      }
    } else {
      return Fail(Code::kInvalidArgument, what, ": condition \"", key, "\" is unknown");
    }
    if (commands.size() + annotations.size() > kMaxExpressions)
      return Fail(Code::kInvalidArgument, what, ": too many conditions");
  }
  if (!always && !has_bind_mounts && commands.empty() && annotations.empty())
    return Fail(Code::kInvalidArgument, what, ": no condition in \"when\"");
  return {};
}

HookFile::HookFile(std::unique_ptr<const Rule> rule) : rule_(std::move(rule)) {}
HookFile::HookFile(HookFile&&) noexcept = default;
HookFile& HookFile::operator=(HookFile&&) noexcept = default;
HookFile::~HookFile() = default;

base::Result<HookFile> HookFile::Parse(std::string_view text, std::string_view what) {
  ASSIGN_OR_RETURN(const nlohmann::json document, json::Parse(text, what));
  ASSIGN_OR_RETURN(const std::string version, json::String(document, "version", what));
  if (version != "1.0.0") return Fail(Code::kInvalidArgument, what, ": version \"", version, "\" is not 1.0.0");
  auto rule = std::make_unique<Rule>();
  ASSIGN_OR_RETURN(rule->hook, ReadHook(document, what));
  ASSIGN_OR_RETURN(rule->stages, ReadStages(document, what));
  ASSIGN_OR_RETURN(const nlohmann::json* when, json::Object(document, "when", what));
  if (when == nullptr) return Fail(Code::kInvalidArgument, what, ": when is missing");
  RETURN_IF_ERROR(rule->ReadConditions(*when, what));
  return HookFile(std::move(rule));
}

bool HookFile::Matches(const HookSubject& subject) const {
  const Rule& rule = *rule_;
  if (rule.always && !*rule.always) return false;
  if (rule.has_bind_mounts && *rule.has_bind_mounts != subject.has_bind_mounts) return false;
  if (!rule.commands.empty() && !rule.AnyCommand(subject.command)) return false;
  return std::all_of(rule.annotations.begin(), rule.annotations.end(), [&](const auto& wanted) {
    return std::any_of(subject.annotations.begin(), subject.annotations.end(), [&](const auto& one) {
      return Finds(wanted.first, one.first) && Finds(wanted.second, one.second);
    });
  });
}

void HookFile::AddTo(Hooks& hooks) const {
  for (const Stage stage : rule_->stages) (hooks.*stage).push_back(rule_->hook);
}

base::Status AddHooks(const std::vector<Path>& folders, const HookSubject& subject, Hooks& hooks) {
  ASSIGN_OR_RETURN(const auto files, FindFiles(folders), "hooks");
  for (const auto& [name, path] : files) {
    ASSIGN_OR_RETURN(const std::string text, ReadRegular(path), "hooks");
    ASSIGN_OR_RETURN(const HookFile file, HookFile::Parse(text, base::Cat("hooks: ", path.native())));
    if (file.Matches(subject)) file.AddTo(hooks);
  }
  return {};
}

}  // namespace berth::oci
