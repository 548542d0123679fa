#include "cli/flags.h"

#include <cstdlib>
#include <string>

#include "base/strings.h"

namespace berth::cli {
namespace {

using base::Code;
using base::Fail;

base::Result<int32_t> Port(std::string_view text, std::string_view whole) {
  const auto number = base::ParseInt(text);
  if (!number || *number < 1 || *number > 65535)
    return Fail(Code::kInvalidArgument, "-p ", whole, ": \"", text, "\" is not a port; write it like -p 8080:80");
  return static_cast<int32_t>(*number);
}

base::Result<cri::Protocol> ParseProtocol(std::string_view text, std::string_view whole) {
  const std::string name = base::Lower(text);
  if (name == "tcp") return cri::TCP;
  if (name == "udp") return cri::UDP;
  if (name == "sctp") return cri::SCTP;
  return Fail(Code::kInvalidArgument, "-p ", whole, ": \"", text, "\" is no protocol; there are tcp, udp and sctp");
}

}  // namespace

base::Result<cri::PortMapping> ParsePort(std::string_view whole) {
  cri::PortMapping out;
  std::string_view text = whole;
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    ASSIGN_OR_RETURN(const cri::Protocol protocol, ParseProtocol(text.substr(slash + 1), whole));
    out.set_protocol(protocol);
    text = text.substr(0, slash);
  }
  const size_t last = text.rfind(':');
  if (last == std::string_view::npos)
    return Fail(Code::kInvalidArgument, "-p ", whole, ": the host's port is missing; write it like -p 8080:80");
  ASSIGN_OR_RETURN(const int32_t container_port, Port(text.substr(last + 1), whole));
  out.set_container_port(container_port);
  text = text.substr(0, last);
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    if (address.empty())
      return Fail(Code::kInvalidArgument, "-p ", whole, ": the address before the first colon is empty");
    out.set_host_ip(std::string(address));
    text = text.substr(colon + 1);
  }
  ASSIGN_OR_RETURN(const int32_t host_port, Port(text, whole));
  out.set_host_port(host_port);
  return out;
}

base::Result<cri::Mount> ParseMount(std::string_view text) {
  constexpr std::string_view kExample = "; write it like -v /srv/data:/data or -v /srv/data:/data:ro";
  const auto parts = base::Split(text, ':');
  if (parts.size() < 2 || parts.size() > 3)
    return Fail(Code::kInvalidArgument, "-v ", text, ": not host path and container path", kExample);
  for (size_t i = 0; i < 2; ++i) {
    if (!parts[i].starts_with('/'))
      return Fail(Code::kInvalidArgument, "-v ", text, ": \"", parts[i], "\" is not an absolute path", kExample);
  }
  cri::Mount out;
  out.set_host_path(std::string(parts[0]));
  out.set_container_path(std::string(parts[1]));
  if (parts.size() == 3) {
    if (parts[2] != "ro" && parts[2] != "rw")
      return Fail(Code::kInvalidArgument, "-v ", text, ": \"", parts[2], "\" is neither ro nor rw", kExample);
    out.set_readonly(parts[2] == "ro");
  }
  return out;
}

base::Result<cri::KeyValue> ParseEnvironment(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  if (name.empty())
    return Fail(Code::kInvalidArgument, "-e ", text, ": the name is missing; write it like -e NAME=value");
  cri::KeyValue out;
  out.set_key(name);
  if (equals != std::string_view::npos) {
    out.set_value(std::string(text.substr(equals + 1)));
    return out;
  }
  const char* value = std::getenv(name.c_str());
  if (value == nullptr)
    return Fail(Code::kInvalidArgument, "-e ", name, ": not set in your environment; write it like -e ", name,
                "=value");
  out.set_value(value);
  return out;
}

base::Result<PortPair> ParsePortPair(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view local_text = text.substr(0, colon == std::string_view::npos ? text.size() : colon);
  const std::string_view remote_text = colon == std::string_view::npos ? text : text.substr(colon + 1);
  const auto local = local_text.empty() ? std::optional<int64_t>(0) : base::ParseInt(local_text);
  const auto remote = base::ParseInt(remote_text);
  if (!local || !remote || *local < 0 || *local > UINT16_MAX || *remote < 1 || *remote > UINT16_MAX) {
    return base::Fail(base::Code::kInvalidArgument, "\"", text, "\" is no pair of ports; write it like 8080:80");
  }
  return PortPair{static_cast<uint16_t>(*local), static_cast<uint16_t>(*remote)};
}

}  // namespace berth::cli
