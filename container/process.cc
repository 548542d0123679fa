#include "container/process.h"

#include <map>

#include "cri-proto/api.pb.h"
#include "json/json.h"

namespace berth::container {

base::Result<std::vector<std::string>> Arguments(const cri::ContainerConfig& config, const image::ImageConfig& image) {
  std::vector<std::string> out(config.command().begin(), config.command().end());
  const bool own_command = !out.empty();
  // Some builders write an entrypoint of one empty string where they mean none.
  const bool has_entrypoint =
      !image.entrypoint.empty() && !(image.entrypoint.size() == 1 && image.entrypoint[0].empty());
  if (!own_command && has_entrypoint) out = image.entrypoint;
  if (config.args_size() > 0) {
    out.insert(out.end(), config.args().begin(), config.args().end());
  } else if (!own_command) {
    out.insert(out.end(), image.cmd.begin(), image.cmd.end());
  }
  if (out.empty())
    return base::Fail(base::Code::kInvalidArgument, "no command specified: neither the request nor the image has one");
  for (const std::string& argument : out) {
    if (argument.find('\0') != std::string::npos)
      return base::Fail(base::Code::kInvalidArgument, "an argument holds a NUL byte");
  }
  return out;
}

base::Result<std::vector<std::string>> Environment(const cri::ContainerConfig& config, const image::ImageConfig& image,
                                                   const std::string& hostname, const std::string& home) {
  std::vector<std::string> out;
  std::map<std::string, size_t> place;
  const auto set = [&](const std::string& key, const std::string& value) -> base::Status {
    if (key.empty() || key.find_first_of(std::string("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos) {
      return base::Fail(base::Code::kInvalidArgument, "environment variable \"", key.substr(0, 64),
                        "\": not a valid name or value");
    }
    const auto [found, added] = place.emplace(key, out.size());
    if (added) out.emplace_back();
    out[found->second] = key + "=" + value;
    return {};
  };
  RETURN_IF_ERROR(set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  if (config.tty()) RETURN_IF_ERROR(set("TERM", "xterm"));
  RETURN_IF_ERROR(set("HOSTNAME", hostname));
  for (const std::string& entry : image.env) {
    const size_t equals = entry.find('=');
    // An entry without "=" names a variable without a value; like the established runtimes, none is set.
    if (equals == std::string::npos || equals == 0) continue;
    RETURN_IF_ERROR(set(entry.substr(0, equals), entry.substr(equals + 1)), "image");
  }
  for (const cri::KeyValue& entry : config.envs()) {
    // The OCI runtime reads JSON, in which other bytes could only be replaced.
    if (!json::IsText(entry.value())) {
      return base::Fail(base::Code::kInvalidArgument, "envs: the value of \"", entry.key(),
                        "\" is not UTF-8, which no OCI runtime can be given");
    }
    RETURN_IF_ERROR(set(entry.key(), entry.value()));
  }
  if (!place.contains("HOME")) RETURN_IF_ERROR(set("HOME", home));
  return out;
}

bool IsSystemd(const std::string& program) {
  return program.find("/sbin/init") != std::string::npos || program.substr(program.rfind('/') + 1) == "systemd";
}

base::Result<std::string> WorkingDirectory(const cri::ContainerConfig& config, const image::ImageConfig& image) {
  const std::string& wanted = !config.working_dir().empty() ? config.working_dir() : image.working_dir;
  if (wanted.empty()) return std::string("/");
  if (wanted.front() != '/')
    return base::Fail(base::Code::kInvalidArgument, "working_dir \"", wanted, "\" is not absolute");
  if (wanted.find('\0') != std::string::npos)
    return base::Fail(base::Code::kInvalidArgument, "working_dir holds a NUL byte");
  return wanted;
}

}  // namespace berth::container
