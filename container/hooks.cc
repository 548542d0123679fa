#include "container/hooks.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using Expression = std::unique_ptr<re2::RE2>;

constexpr size_t kMaxExpressions = 100;  // of one file
constexpr int kMaxTimeout = 24 * 3600;

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

base::Result<oci::Hook> ReadHook(const nlohmann::json& document, std::string_view what) {
  ASSIGN_OR_RETURN(const nlohmann::json* object, json::Object(document, "hook", what));
  if (object == nullptr) return Fail(Code::kInvalidArgument, what, ": hook is missing");
  json::Reader reader(*object, what);
  oci::Hook hook{.path = reader.Text("path"), .args = reader.Texts("args"), .env = reader.Texts("env"), .timeout = {}};
  RETURN_IF_ERROR(reader.status());
  if (!hook.path.starts_with('/')) return Fail(Code::kInvalidArgument, what, ": hook.path is not absolute");
  ASSIGN_OR_RETURN(const auto timeout, json::Int(*object, "timeout", what));
  if (!timeout) return hook;
  if (*timeout < 1 || *timeout > kMaxTimeout)
    return Fail(Code::kInvalidArgument, what, ": hook.timeout is not within a second and a day");
  hook.timeout = static_cast<int>(*timeout);
  return hook;
}

base::Result<std::vector<std::string>> ReadStages(const nlohmann::json& document, std::string_view what) {
  ASSIGN_OR_RETURN(const auto names, json::Strings(document, "stages", what));
  std::vector<std::string> out;
  oci::Hooks known;
  for (const std::string& name : names) {
    if (oci::StageOf(known, name) == nullptr)
      return Fail(Code::kInvalidArgument, what, ": stage \"", name, "\" is unknown");
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  if (out.empty()) return Fail(Code::kInvalidArgument, what, ": stages are missing");
  return out;
}

}  // namespace

struct HookFile::Rule {
  oci::Hook hook;
  std::vector<std::string> stages;
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

void HookFile::AddTo(oci::Hooks& hooks) const {
  for (const std::string& stage : rule_->stages) oci::StageOf(hooks, stage)->push_back(rule_->hook);
}

base::Status HookFolders::AddTo(const HookSubject& subject, oci::Hooks& hooks) const {
  ASSIGN_OR_RETURN(const auto files, files_.Read(), "hooks");
  std::map<std::string, const SpecFolders<HookFile>::File*> by_name;
  for (const auto& file : files) by_name[file->file.path.filename().native()] = file.get();
  for (const auto& [name, file] : by_name) {
    if (!file->content) return Fail(file->content.error().code, "hooks: ", file->content.error().message);
    if (file->content->Matches(subject)) file->content->AddTo(hooks);
  }
  return {};
}

}  // namespace berth::container
