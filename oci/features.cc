// What a runtime can do, from what it says of itself.
#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"
#include "oci/runtime.h"

namespace berth::oci {
namespace {

using Version = std::array<int64_t, 3>;

// What this code writes is understood by readers of this version and later ones of the same major number.
constexpr Version kNewestSpec = {1, 2, 0};
constexpr Version kOldestSpec = {1, 0, 2};

// "1.8.1", "1.1.5+ds1", "1.0.2-dev": what follows the numbers does not count. {0, 0, 0} for anything else.
Version ParseVersion(std::string_view text) {
  Version out{};
  const auto parts = base::Split(text.substr(0, text.find_first_not_of("0123456789.")), '.');
  for (size_t i = 0; i < parts.size() && i < out.size(); ++i) {
    const auto number = base::ParseInt(parts[i]);
    if (!number) return {};
    out[i] = *number;
  }
  return out;
}

std::string VersionText(const Version& version) {
  return base::Cat(version[0], ".", version[1], ".", version[2]);
}

// First line of --version: "crun version 1.8.1", "runc version 1.1.5+ds1".
struct Program {
  std::string name;
  Version version{};
  std::string text;
};
Program ParseProgram(std::string_view output) {
  const auto words = base::Split(base::Trim(output.substr(0, output.find('\n'))), ' ');
  if (words.size() < 3 || words[1] != "version") return {.text = std::string(words[0])};
  return {.name = std::string(words[0]), .version = ParseVersion(words[2]), .text = base::Cat(words[0], " ", words[2])};
}

// For runtimes too old to have a `features` command: from the notes of their releases.
void FromRelease(const Program& program, Features& out) {
  if (program.name == "crun") {
    out.recursive_read_only = program.version >= Version{1, 4, 0};
    out.idmapped_mounts = program.version >= Version{1, 9, 0};
  }
}

base::Status FromFeatures(std::string_view text, std::string_view what, Features& out) {
  ASSIGN_OR_RETURN(const nlohmann::json root, json::Parse(text, what));
  ASSIGN_OR_RETURN(const std::string newest, json::String(root, "ociVersionMax", what));
  if (const Version theirs = ParseVersion(newest); theirs[0] == 1)
    out.oci_version = VersionText(std::clamp(theirs, kOldestSpec, kNewestSpec));
  ASSIGN_OR_RETURN(const auto options, json::Strings(root, "mountOptions", what));
  out.recursive_read_only = std::ranges::find(options, "rro") != options.end();
  const nlohmann::json* member = &root;
  for (const char* key : {"linux", "mountExtensions", "idmap"}) {
    ASSIGN_OR_RETURN(member, json::Object(*member, key, what));
    if (member == nullptr) return {};
  }
  ASSIGN_OR_RETURN(out.idmapped_mounts, json::Bool(*member, "enabled", what));
  return {};
}

}  // namespace

base::Result<Features> ParseFeatures(std::string_view version, std::string_view features, std::string_view what) {
  const Program program = ParseProgram(version);
  Features out{.version = program.text};
  // Both have had `exec --cgroup` since then.
  out.exec_cgroup = (program.name == "crun" && program.version >= Version{1, 4, 0}) ||
                    (program.name == "runc" && program.version >= Version{1, 1, 0});
  out.exec_waits_for_output = program.name == "runc";
  // runc has no build without it.
  out.checkpoints = program.name == "runc" || version.find("+CRIU") != std::string_view::npos;
  if (base::Trim(features).empty()) {
    FromRelease(program, out);
  } else {
    RETURN_IF_ERROR(FromFeatures(features, what, out));
  }
  return out;
}

}  // namespace berth::oci
