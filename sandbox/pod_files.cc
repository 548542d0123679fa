#include "sandbox/pod_files.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/file.h"
#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

constexpr size_t kMaxFile = 1 << 20;

base::Result<std::string> NodeFile(const char* path) {
  auto text = base::ReadFile(path, kMaxFile);
  if (!text && text.error().err == ENOENT) return std::string();
  return text;
}

template <typename Words>
void AddLine(std::string& out, std::string_view keyword, const Words& words) {
  if (words.empty()) return;
  out += keyword;
  for (const std::string& word : words) out += " " + word;
  out += "\n";
}

}  // namespace

base::Result<std::string> PodHostname(const cri::PodSandboxConfig& config) {
  const bool host_network = config.linux().security_context().namespace_options().network() == cri::NODE;
  if (!config.hostname().empty() && !host_network) {
    // It is written into files of lines and words.
    const bool clean =
        std::all_of(config.hostname().begin(), config.hostname().end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!clean)
      return base::Fail(base::Code::kInvalidArgument,
                        "hostname holds a blank or a character that is not printable ASCII");
    if (config.hostname().size() > HOST_NAME_MAX) {
      return base::Fail(base::Code::kInvalidArgument, "hostname \"", config.hostname().substr(0, HOST_NAME_MAX),
                        "\" is longer than ", HOST_NAME_MAX, " bytes");
    }
    return config.hostname();
  }
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size()) != 0) return base::FailErrno(errno, "gethostname");
  return std::string(name.data());
}

base::Result<std::string> ResolvConf(const cri::PodSandboxConfig& config) {
  const auto& dns = config.dns_config();
  if (dns.servers().empty() && dns.searches().empty() && dns.options().empty()) return NodeFile("/etc/resolv.conf");
  for (const auto* list : {&dns.servers(), &dns.searches(), &dns.options()}) {
    for (const std::string& word : *list) {
      if (word.find('\n') != std::string::npos)
        return base::Fail(base::Code::kInvalidArgument, "dns_config: a value holds a line break");
    }
  }
  std::string out;
  AddLine(out, "search", dns.searches());
  for (const std::string& server : dns.servers()) out += "nameserver " + server + "\n";
  AddLine(out, "options", dns.options());
  return out;
}

base::Result<std::string> HostsFile(const std::string& hostname, const std::vector<std::string>& ips) {
  if (ips.empty()) return NodeFile("/etc/hosts");
  std::string out =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& ip : ips) out += ip + "\t" + hostname + "\n";
  return out;
}

}  // namespace berth::sandbox
