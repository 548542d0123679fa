#include "image/hosts_toml.h"

#include <algorithm>

#include "base/strings.h"
#include "image/http.h"
#include "image/toml_reader.h"

namespace berth::image {
namespace {

using base::Code;
using base::Path;
using base::Result;
using Host = HostsToml::Host;

// Go's durations as far as they make sense for a time-out: "500ms", "30s", "2m", "1h".
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos || digits == 0) return std::nullopt;
  const auto number = base::ParseInt(text.substr(0, digits));
  const std::string_view unit = text.substr(digits);
  const int64_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : unit == "h" ? 3'600'000 : 0;
  if (!number || factor == 0 || *number > 86'400'000 / factor) return std::nullopt;
  return std::chrono::milliseconds(*number * factor);
}

Path Absolute(const Path& folder, const std::string& text) {
  return text.starts_with('/') ? Path(text) : folder / text;
}

// client = "both.pem" | ["both.pem", …] | [["cert.pem", "key.pem"], …]
void ReadClients(const toml::table& table, TomlReader& reader, const Path& folder, HostSettings& out) {
  const toml::node* node = table.get("client");
  const toml::array* array = node == nullptr ? nullptr : node->as_array();
  const bool pairs = array != nullptr && !array->empty() && (*array)[0].is_array();
  if (!pairs) {
    for (const std::string& path : reader.Texts("client"))
      out.clients.push_back({Absolute(folder, path), Absolute(folder, path)});
    return;
  }
  for (size_t i = 0; i < array->size(); ++i) {
    const toml::array* pair = (*array)[i].as_array();
    const auto certificate =
        pair != nullptr && pair->size() >= 1 ? (*pair)[0].value_exact<std::string>() : std::nullopt;
    const auto key = pair != nullptr && pair->size() == 2 ? (*pair)[1].value_exact<std::string>() : certificate;
    if (!certificate || certificate->empty() || !key || pair->size() > 2)
      return reader.Fail("client", "is not a list of certificates with keys");
    out.clients.push_back({Absolute(folder, *certificate), Absolute(folder, key->empty() ? *certificate : *key)});
  }
}

void ReadHeaders(TomlReader& reader, HostSettings& out) {
  const toml::table* headers = reader.Table("header");
  if (headers == nullptr) return;
  TomlReader values(*headers, "header");
  for (const auto& [key, node] : *headers) {
    const std::string name(key.str());
    for (const std::string& value : values.Texts(name)) out.headers.emplace_back(name, value);
  }
  if (!values.status()) reader.Fail("header", "is not a table of texts");
}

Result<Host> ReadHost(const toml::table& table, const std::string& what, const Path& folder, std::string url) {
  TomlReader reader(table, what);
  Host host;
  const size_t scheme = url.find("://");
  const bool more = url.find_first_of("?#", scheme == std::string::npos ? 0 : scheme + 3) != std::string::npos;
  if (scheme == std::string::npos) {
    const auto origin = Origin::Parse(base::Cat("http://", url));
    url.insert(0, origin && origin->loopback() ? "http://" : "https://");
  }
  if (!Origin::Parse(url) || more) {
    return base::Fail(Code::kInvalidArgument, what, ":", table.source().begin.line, ": \"", ShownUrl(url),
                      "\" is not a registry's URL without user information and query");
  }
  while (url.ends_with('/')) url.pop_back();
  host.whole = reader.Flag("override_path").value_or(false) || url.ends_with("/v2");
  host.url = std::move(url);
  if (table.contains("capabilities")) {
    const auto capabilities = reader.Texts("capabilities");
    host.resolve = std::ranges::find(capabilities, "resolve") != capabilities.end();
    host.pull = std::ranges::find(capabilities, "pull") != capabilities.end();
  }
  for (const std::string& path : reader.Texts("ca")) host.settings.authorities.push_back(Absolute(folder, path));
  ReadClients(table, reader, folder, host.settings);
  ReadHeaders(reader, host.settings);
  if (const auto skip = reader.Flag("skip_verify")) host.settings.verify = !*skip;
  if (const std::string text = reader.Text("dial_timeout"); !text.empty()) {
    host.settings.connect_timeout = ParseDuration(text);
    if (!host.settings.connect_timeout) reader.Fail("dial_timeout", "is not a duration as 30s");
  }
  RETURN_IF_ERROR(reader.status());
  return host;
}

}  // namespace

Result<HostsToml> LoadHostsToml(const Path& file) {
  ASSIGN_OR_RETURN(const toml::table table, ReadToml(file));
  const std::string& what = file.native();
  const Path folder = file.parent_path();
  HostsToml out;
  TomlReader reader(table, what);
  const std::string server = reader.Text("server");
  if (!server.empty()) {
    ASSIGN_OR_RETURN(out.server, ReadHost(table, what, folder, server));
  }
  // The parser sorts by name; the order that counts is the file's.
  std::vector<std::pair<std::string, const toml::table*>> hosts;
  if (const toml::table* all = reader.Table("host")) {
    for (const auto& [key, node] : *all) {
      if (!node.is_table())
        return base::Fail(Code::kInvalidArgument, what, ":", node.source().begin.line, ": host is not a table");
      hosts.emplace_back(key.str(), node.as_table());
    }
  }
  RETURN_IF_ERROR(reader.status());
  std::ranges::stable_sort(hosts, {}, [](const auto& host) { return host.second->source().begin.line; });
  for (const auto& [url, host] : hosts) {
    ASSIGN_OR_RETURN(Host read, ReadHost(*host, what, folder, url));
    out.hosts.push_back(std::move(read));
  }
  return out;
}

Path HostFolder(const std::vector<Path>& folders, std::string_view host) {
  std::vector<std::string> names;
  const size_t colon = host.rfind(':');
  const bool port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  if (port) names.push_back(base::Cat(host.substr(0, colon), "_", host.substr(colon + 1), "_"));
  names.emplace_back(host);
  for (const Path& folder : folders) {
    for (const std::string& name : names) {
      if (base::Exists(folder / name)) return folder / name;
    }
  }
  return {};
}

}  // namespace berth::image
