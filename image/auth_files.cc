#include "image/auth_files.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
using base::Path;
using base::Result;
constexpr size_t kMaxFile = 4 << 20;
constexpr size_t kMaxHelperOutput = 64 << 10;
constexpr std::string_view kDockerHub = "https://index.docker.io/v1/";  // docker's name for docker.io
constexpr std::string_view kNothing = "credentials not found in native keychain";

// "https://index.docker.io/v1/" is "docker.io"; a path below the host stays.
std::string NormalKey(std::string_view key) {
  if (const size_t scheme = key.find("://"); scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
  while (key.ends_with('/')) key.remove_suffix(1);
  for (const std::string_view version : {"/v1", "/v2"}) {
    if (key.ends_with(version)) key.remove_suffix(version.size());
  }
  const size_t slash = std::min(key.find('/'), key.size());
  std::string host = base::Lower(key.substr(0, slash));
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  return base::Cat(host, key.substr(slash));
}

// Keys that may have it, the most telling first: host/a/b, host/a, host.
std::vector<std::string> Keys(std::string_view host, std::string_view repository) {
  std::vector<std::string> out;
  std::string key = base::Cat(base::Lower(host), "/", repository);
  while (true) {
    out.push_back(key);
    const size_t slash = key.rfind('/');
    if (slash == std::string::npos) return out;
    key.resize(slash);
  }
}

// The object's members by their normal keys; of two that mean the same the first in the file's order of names counts.
std::map<std::string, const nlohmann::json*> ByNormalKey(const nlohmann::json* object) {
  std::map<std::string, const nlohmann::json*> out;
  if (object == nullptr) return out;
  for (const auto& [key, value] : object->items()) out.emplace(NormalKey(key), &value);
  return out;
}

Result<AuthConfig> ReadEntry(const nlohmann::json& entry, std::string_view what) {
  AuthConfig out;
  ASSIGN_OR_RETURN(out.username, json::String(entry, "username", what));
  ASSIGN_OR_RETURN(out.password, json::String(entry, "password", what));
  ASSIGN_OR_RETURN(out.auth, json::String(entry, "auth", what));
  ASSIGN_OR_RETURN(out.identity_token, json::String(entry, "identitytoken", what));
  ASSIGN_OR_RETURN(out.registry_token, json::String(entry, "registrytoken", what));
  // With an identity token the user name is a mere placeholder.
  if (!out.identity_token.empty()) out.username = out.password = out.auth = {};
  return out;
}

bool IsHelperName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  });
}

Path FindProgram(const std::string& name, const std::vector<Path>& folders) {
  std::vector<Path> all = folders;
  if (all.empty()) {
    const char* path = getenv("PATH");
    for (const std::string_view part : base::Split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
      if (part.starts_with('/')) all.emplace_back(part);
    }
  }
  for (const Path& folder : all) {
    if (access((folder / name).c_str(), X_OK) == 0) return folder / name;
  }
  return {};
}

std::string Printable(std::string_view text) {
  std::string out(base::Trim(text).substr(0, 200));
  std::ranges::replace_if(
      out, [](char c) { return c < ' ' || c > '~'; }, ' ');
  return out;
}

}  // namespace

Result<AuthConfig> AuthFiles::Find(std::string_view host, std::string_view repository,
                                   const base::Context& context) const {
  for (const Path& file : options_.files) {
    ASSIGN_OR_RETURN(AuthConfig found, FindIn(file, host, repository, context), file.native());
    if (!found.empty()) return found;
  }
  return AuthConfig();
}

Result<AuthConfig> AuthFiles::FindIn(const Path& file, std::string_view host, std::string_view repository,
                                     const base::Context& context) const {
  const auto text = base::ReadFile(file, kMaxFile);
  if (!text && text.error().err == ENOENT) return AuthConfig();
  RETURN_IF_ERROR(text);
  const auto parsed = json::Parse(*text, "credentials");
  // The parser's own words may quote the text around the error.
  if (!parsed) return base::Fail(Code::kFailedPrecondition, "not valid JSON");
  ASSIGN_OR_RETURN(const nlohmann::json* helpers, json::Object(*parsed, "credHelpers", "credentials"));
  ASSIGN_OR_RETURN(const nlohmann::json* auths, json::Object(*parsed, "auths", "credentials"));
  ASSIGN_OR_RETURN(const std::string store, json::String(*parsed, "credsStore", "credentials"));

  const std::vector<std::string> keys = Keys(host, repository);
  const auto by_helper = ByNormalKey(helpers);
  for (const std::string& key : keys) {
    const auto helper = by_helper.find(key);
    if (helper == by_helper.end() || !helper->second->is_string()) continue;
    ASSIGN_OR_RETURN(AuthConfig found, AskHelper(helper->second->get<std::string>(), key, context));
    if (!found.empty()) return found;
  }
  const auto by_key = ByNormalKey(auths);
  for (const std::string& key : keys) {
    const auto entry = by_key.find(key);
    if (entry == by_key.end()) continue;
    ASSIGN_OR_RETURN(AuthConfig found, ReadEntry(*entry->second, base::Cat("auths: ", key)));
    if (!found.empty()) return found;
  }
  return store.empty() ? AuthConfig() : AskHelper(store, host, context);
}

Result<AuthConfig> AuthFiles::AskHelper(std::string_view name, std::string_view host,
                                        const base::Context& context) const {
  if (!IsHelperName(name))
    return base::Fail(Code::kFailedPrecondition, "credential helper of a name that no program has");
  const std::string program = base::Cat("docker-credential-", name);
  base::RunOptions run;
  run.spawn.program = FindProgram(program, options_.program_folders);
  if (run.spawn.program.empty()) return base::Fail(Code::kFailedPrecondition, program, ": not installed");
  run.spawn.arguments = {program, "get"};
  for (char** variable = environ; *variable != nullptr; ++variable) run.spawn.environment.emplace_back(*variable);
  run.input = host == "docker.io" ? std::string(kDockerHub) : std::string(host);
  run.output_limit = kMaxHelperOutput;
  const auto done = base::Run(std::move(run), context.WithTimeout(options_.helper_timeout));
  if (!done && !context.Check("")) return tl::make_unexpected(done.error());
  // Its own time is over, not the caller's: a pull must not look as if its caller had given up.
  if (!done && done.error().code == Code::kDeadlineExceeded) {
    return base::Fail(Code::kFailedPrecondition, program, ": no answer in ", options_.helper_timeout.count(), " ms");
  }
  RETURN_IF_ERROR(done, program);
  if (done->exit.code != 0) {
    if (done->output.find(kNothing) != std::string::npos || done->errors.find(kNothing) != std::string::npos)
      return AuthConfig();
    return base::Fail(Code::kFailedPrecondition, program, ": ", done->exit.Text(), ": ",
                      Printable(done->errors.empty() ? done->output : done->errors));
  }
  const auto answer = json::Parse(done->output, "answer");
  if (!answer || !answer->is_object())
    return base::Fail(Code::kFailedPrecondition, program, ": the answer is not a JSON object");
  ASSIGN_OR_RETURN(std::string user, json::String(*answer, "Username", program));
  ASSIGN_OR_RETURN(std::string secret, json::String(*answer, "Secret", program));
  AuthConfig out;
  if (user == "<token>") {
    out.identity_token = std::move(secret);
  } else {
    out.username = std::move(user);
    out.password = std::move(secret);
  }
  return out;
}

}  // namespace berth::image
