#include "network/result.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"
#include "network/version.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;
using base::Code;
using base::Fail;

constexpr std::string_view kWhat = "CNI result";

// A result of any version in the form of the newest one.
struct Parts {
  Json interfaces = Json::array();
  Json ips = Json::array();
  Json routes = Json::array();
  Json dns = Json::object();
};

struct Address {
  std::string text;  // without prefix length, in the usual form
  bool is_v6 = false;
};

// A CIDR, or an address alone as old plugins write it.
base::Result<Address> ParseAddress(const std::string& cidr) {
  const size_t slash = cidr.find('/');
  const std::string host = cidr.substr(0, slash);
  if (slash != std::string::npos) {
    const auto bits = base::ParseInt(std::string_view(cidr).substr(slash + 1));
    if (!bits || *bits < 0 || *bits > 128) return Fail(Code::kInvalidArgument, kWhat, ": not an address: ", cidr);
  }
  for (const int family : {AF_INET, AF_INET6}) {
    in6_addr address{};
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(family, host.c_str(), &address) == 1 && inet_ntop(family, &address, text, sizeof text) != nullptr) {
      return Address{text, family == AF_INET6};
    }
  }
  return Fail(Code::kInvalidArgument, kWhat, ": not an address: ", cidr);
}

base::Result<Json> Entries(const Json& object, const char* key) {
  ASSIGN_OR_RETURN(const Json* array, json::Array(object, key, kWhat));
  if (array == nullptr) return Json::array();
  if (array->size() > kResultEntries)
    return Fail(Code::kInvalidArgument, kWhat, ": more than ", kResultEntries, " ", key);
  for (const Json& entry : *array) {
    if (!entry.is_object()) return Fail(Code::kInvalidArgument, kWhat, ": an entry of ", key, " is not an object");
  }
  return *array;
}

// 0.1.0 and 0.2.0 have one address of each family, its routes within.
base::Status ReadFamilies(const Json& object, Parts& parts) {
  for (const char* family : {"ip4", "ip6"}) {
    ASSIGN_OR_RETURN(const Json* config, json::Object(object, family, kWhat));
    if (config == nullptr) continue;
    ASSIGN_OR_RETURN(const std::string address, json::String(*config, "ip", kWhat));
    ASSIGN_OR_RETURN(const std::string gateway, json::String(*config, "gateway", kWhat));
    Json entry = {{"address", address}};
    if (!gateway.empty()) entry["gateway"] = gateway;
    parts.ips.push_back(std::move(entry));
    ASSIGN_OR_RETURN(const Json routes, Entries(*config, "routes"));
    for (const Json& route : routes) parts.routes.push_back(route);
  }
  return {};
}

base::Result<Parts> ReadParts(const Json& object, std::string_view version) {
  Parts parts;
  if (AtLeast(version, "0.3.0")) {
    ASSIGN_OR_RETURN(parts.interfaces, Entries(object, "interfaces"));
    ASSIGN_OR_RETURN(parts.ips, Entries(object, "ips"));
    ASSIGN_OR_RETURN(parts.routes, Entries(object, "routes"));
    for (Json& ip : parts.ips) ip.erase("version");
  } else {
    RETURN_IF_ERROR(ReadFamilies(object, parts));
  }
  ASSIGN_OR_RETURN(const Json* dns, json::Object(object, "dns", kWhat));
  if (dns != nullptr) parts.dns = *dns;
  return parts;
}

base::Result<bool> IsV6(const Json& object, const char* key) {
  ASSIGN_OR_RETURN(const std::string text, json::String(object, key, kWhat));
  ASSIGN_OR_RETURN(const Address address, ParseAddress(text));
  return address.is_v6;
}

base::Status WriteFamilies(const Parts& parts, Json& out) {
  for (const Json& ip : parts.ips) {
    ASSIGN_OR_RETURN(const bool is_v6, IsV6(ip, "address"));
    Json& family = out[is_v6 ? "ip6" : "ip4"];
    if (!family.is_null()) continue;  // these versions have room for the first alone
    family = {{"ip", ip["address"]}};
    if (ip.contains("gateway")) family["gateway"] = ip["gateway"];
  }
  for (const Json& route : parts.routes) {
    ASSIGN_OR_RETURN(const bool is_v6, IsV6(route, "dst"));
    const auto family = out.find(is_v6 ? "ip6" : "ip4");
    if (family != out.end()) (*family)["routes"].push_back(route);
  }
  return {};
}

void EraseNewKeys(Parts& parts) {
  for (Json& interface : parts.interfaces) {
    for (const char* key : {"mtu", "socketPath", "pciID"}) interface.erase(key);
  }
  for (Json& route : parts.routes) {
    for (const char* key : {"mtu", "advmss", "priority", "table", "scope"}) route.erase(key);
  }
}

base::Result<Json> WriteParts(Parts parts, std::string_view version) {
  Json out = {{"cniVersion", version}};
  if (!AtLeast(version, "1.1.0")) EraseNewKeys(parts);
  if (!AtLeast(version, "0.3.0")) {
    RETURN_IF_ERROR(WriteFamilies(parts, out));
  } else {
    if (!AtLeast(version, "1.0.0")) {
      for (Json& ip : parts.ips) {
        ASSIGN_OR_RETURN(const bool is_v6, IsV6(ip, "address"));
        ip["version"] = is_v6 ? "6" : "4";
      }
    }
    if (!parts.interfaces.empty()) out["interfaces"] = std::move(parts.interfaces);
    if (!parts.ips.empty()) out["ips"] = std::move(parts.ips);
    if (!parts.routes.empty()) out["routes"] = std::move(parts.routes);
  }
  if (!parts.dns.empty()) out["dns"] = std::move(parts.dns);
  return out;
}

base::Result<std::pair<Json, std::string>> ParseAny(std::string_view result, std::string_view assumed) {
  ASSIGN_OR_RETURN(Json object, json::Parse(result, kWhat));
  ASSIGN_OR_RETURN(std::string version, json::String(object, "cniVersion", kWhat));
  if (version.empty()) version = assumed;
  if (!IsSpecVersion(version))
    return Fail(Code::kInvalidArgument, kWhat, ": CNI version ", version, " is not supported");
  return std::pair(std::move(object), std::move(version));
}

base::Result<std::vector<Interface>> ReadInterfaces(const Json& entries) {
  std::vector<Interface> out;
  for (const Json& entry : entries) {
    Interface interface;
    ASSIGN_OR_RETURN(interface.name, json::String(entry, "name", kWhat));
    ASSIGN_OR_RETURN(interface.mac, json::String(entry, "mac", kWhat));
    ASSIGN_OR_RETURN(interface.sandbox, json::String(entry, "sandbox", kWhat));
    out.push_back(std::move(interface));
  }
  return out;
}

// Does the address belong to the pod's link? Old plugins name no link: then it does.
base::Result<bool> IsPods(const Json& ip, const std::vector<Interface>& interfaces) {
  ASSIGN_OR_RETURN(const auto index, json::Int(ip, "interface", kWhat));
  if (!index || *index < 0) return true;
  if (static_cast<uint64_t>(*index) >= interfaces.size()) {
    return Fail(Code::kInvalidArgument, kWhat, ": an address names interface ", *index, " of ", interfaces.size());
  }
  const Interface& interface = interfaces[static_cast<size_t>(*index)];
  return !interface.sandbox.empty() && interface.name == kInterface;
}

}  // namespace

std::optional<IpPreference> ParseIpPreference(std::string_view text) {
  if (text == "ipv4") return IpPreference::kIpv4;
  if (text == "ipv6") return IpPreference::kIpv6;
  if (text == "cni") return IpPreference::kCni;
  return std::nullopt;
}

base::Result<std::string> ConvertResult(std::string_view result, std::string_view assumed, std::string_view version) {
  ASSIGN_OR_RETURN(auto parsed, ParseAny(result, assumed));
  auto& [object, own] = parsed;
  ASSIGN_OR_RETURN(Parts parts, ReadParts(object, own));
  if (own == version) {
    object["cniVersion"] = version;
    return json::Dump(object);
  }
  ASSIGN_OR_RETURN(const Json converted, WriteParts(std::move(parts), version));
  return json::Dump(converted);
}

base::Result<Attachment> ParseResult(std::string_view result, std::string_view assumed, IpPreference preference) {
  ASSIGN_OR_RETURN(const auto parsed, ParseAny(result, assumed));
  ASSIGN_OR_RETURN(const Parts parts, ReadParts(parsed.first, parsed.second));
  Attachment attachment;
  ASSIGN_OR_RETURN(attachment.interfaces, ReadInterfaces(parts.interfaces));
  std::vector<Address> addresses;
  for (const Json& ip : parts.ips) {
    ASSIGN_OR_RETURN(const std::string text, json::String(ip, "address", kWhat));
    ASSIGN_OR_RETURN(Address address, ParseAddress(text));
    ASSIGN_OR_RETURN(const bool is_pods, IsPods(ip, attachment.interfaces));
    if (is_pods) addresses.push_back(std::move(address));
  }
  if (addresses.empty()) {
    return Fail(Code::kInternal, "failed to find network info for sandbox: the CNI result has no address on ",
                kInterface);
  }
  if (preference != IpPreference::kCni) {
    const auto preferred = std::ranges::find(addresses, preference == IpPreference::kIpv6, &Address::is_v6);
    if (preferred != addresses.end()) std::rotate(addresses.begin(), preferred, preferred + 1);
  }
  for (Address& address : addresses) attachment.ips.push_back(std::move(address.text));
  attachment.result = result;
  return attachment;
}

}  // namespace berth::network
