#include "image/registries_conf.h"

#include <algorithm>

#include "base/strings.h"
#include "image/toml_reader.h"

namespace berth::image {
namespace {

using base::Code;
using base::Result;
using base::Status;
using Entry = RegistriesConf::Entry;
using Mirror = RegistriesConf::Mirror;
using Mode = RegistriesConf::ShortNameMode;

// How many characters of `name` the prefix covers; 0 when it does not match.
size_t MatchLength(std::string_view name, std::string_view prefix) {
  size_t end = 0;
  if (prefix.starts_with("*.")) {
    const std::string_view tail = prefix.substr(1);
    const size_t host_end = std::min(name.find('/'), name.size());
    const size_t at = name.find(tail);
    // "*.example.com" means sub-domains alone, and a dot in the path is none of a host.
    if (at == std::string_view::npos || at == 0 || at >= host_end) return 0;
    end = at + tail.size();
  } else {
    if (!name.starts_with(prefix)) return 0;
    end = prefix.size();
  }
  return end == name.size() || name[end] == '/' ? end : 0;
}

std::string WithoutSlashes(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// A location is put into URLs, so it must look like the start of a name.
bool IsLocation(std::string_view text) {
  return !text.empty() && text.front() != '/' && text.find("://") == std::string_view::npos &&
         std::ranges::none_of(text, [](char c) {
           return static_cast<unsigned char>(c) <= ' ' || c == '@' || c == '?' || c == '#' || c == '\\' || c == 0x7f;
         });
}

Result<Mirror> ReadMirror(const toml::table& table, const std::string& what, bool digest_only) {
  TomlReader reader(table, what);
  Mirror mirror{.location = WithoutSlashes(reader.Text("location")),
                .insecure = reader.Flag("insecure").value_or(false)};
  if (!IsLocation(mirror.location)) reader.Fail("location", "is not host[:port][/path]");
  const std::string from = reader.Text("pull-from-mirror");
  if (from == "digest-only" || (from.empty() && digest_only))
    mirror.from = Mirror::From::kDigestOnly;
  else if (from == "tag-only")
    mirror.from = Mirror::From::kTagOnly;
  else if (!from.empty() && from != "all")
    reader.Fail("pull-from-mirror", "is not all, digest-only or tag-only");
  RETURN_IF_ERROR(reader.status());
  return mirror;
}

Result<Entry> ReadEntry(const toml::table& table, const std::string& what) {
  TomlReader reader(table, what);
  Entry entry{.prefix = WithoutSlashes(reader.Text("prefix")),
              .location = WithoutSlashes(reader.Text("location")),
              .insecure = reader.Flag("insecure").value_or(false),
              .blocked = reader.Flag("blocked").value_or(false)};
  if (entry.prefix.empty()) entry.prefix = entry.location;
  const std::string_view plain = std::string_view(entry.prefix).substr(entry.prefix.starts_with("*.") ? 2 : 0);
  if (!IsLocation(plain) || plain.find('*') != std::string_view::npos)
    reader.Fail("prefix", "is not host[:port][/path] or *.domain");
  if (!entry.location.empty() && !IsLocation(entry.location)) reader.Fail("location", "is not host[:port][/path]");
  const bool digest_only = reader.Flag("mirror-by-digest-only").value_or(false);
  for (const toml::table* mirror : reader.Tables("mirror")) {
    ASSIGN_OR_RETURN(Mirror read, ReadMirror(*mirror, what, digest_only));
    entry.mirrors.push_back(std::move(read));
  }
  RETURN_IF_ERROR(reader.status());
  return entry;
}

void Put(RegistriesConf& conf, Entry entry) {
  const auto same = std::ranges::find(conf.entries, entry.prefix, &Entry::prefix);
  if (same == conf.entries.end())
    conf.entries.push_back(std::move(entry));
  else
    *same = std::move(entry);
}

// The form before 2019: three lists of hosts.
Status ReadVersion1(const toml::table& table, const std::string& what, RegistriesConf& conf) {
  const auto hosts = [&](std::string_view kind) -> Result<std::vector<std::string>> {
    TomlReader reader(table, what);
    const toml::table* list = reader.Table(kind);
    RETURN_IF_ERROR(reader.status());
    if (list == nullptr) return std::vector<std::string>();
    TomlReader inner(*list, what);
    auto out = inner.Texts("registries");
    RETURN_IF_ERROR(inner.status());
    return out;
  };
  ASSIGN_OR_RETURN(const auto search, hosts("search"));
  ASSIGN_OR_RETURN(const auto insecure, hosts("insecure"));
  ASSIGN_OR_RETURN(const auto blocked, hosts("block"));
  if (!search.empty()) conf.search = search;
  const auto entry = [&](const std::string& host) -> Entry& {
    auto found = std::ranges::find(conf.entries, host, &Entry::prefix);
    if (found == conf.entries.end())
      found = conf.entries.insert(conf.entries.end(), Entry{.prefix = host, .location = host});
    return *found;
  };
  for (const std::string& host : insecure) entry(host).insecure = true;
  for (const std::string& host : blocked) entry(host).blocked = true;
  return {};
}

Status ReadAliases(const toml::table& table, const std::string& what, RegistriesConf& conf) {
  for (const auto& [key, value] : table) {
    const auto target = value.value_exact<std::string>();
    const std::string name(key.str());
    if (!target)
      return base::Fail(Code::kInvalidArgument, what, ":", value.source().begin.line, ": alias ", name,
                        " is not a text");
    if (target->empty()) {
      conf.aliases.erase(name);
      continue;
    }
    const auto full = Reference::Parse(*target);
    if (!full || !Reference::HasDomain(*target)) {
      return base::Fail(Code::kInvalidArgument, what, ":", value.source().begin.line, ": alias ", name,
                        " does not stand for a full name");
    }
    conf.aliases[name] = full->Name();
  }
  return {};
}

Status ReadFile(const base::Path& path, RegistriesConf& conf) {
  ASSIGN_OR_RETURN(const toml::table table, ReadToml(path));
  const std::string& what = path.native();
  TomlReader reader(table, what);
  if (const toml::table* old = reader.Table("registries")) RETURN_IF_ERROR(ReadVersion1(*old, what, conf));
  for (const toml::table* item : reader.Tables("registry")) {
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(*item, what));
    Put(conf, std::move(entry));
  }
  if (table.contains("unqualified-search-registries")) conf.search = reader.Texts("unqualified-search-registries");
  for (const std::string& host : conf.search) {
    if (!IsLocation(host)) reader.Fail("unqualified-search-registries", "has what is no host");
  }
  if (table.contains("credential-helpers")) conf.credential_helpers = reader.Texts("credential-helpers");
  const std::string mode = reader.Text("short-name-mode");
  if (mode == "enforcing")
    conf.mode = Mode::kEnforcing;
  else if (mode == "permissive")
    conf.mode = Mode::kPermissive;
  else if (mode == "disabled")
    conf.mode = Mode::kDisabled;
  else if (!mode.empty())
    reader.Fail("short-name-mode", "is not enforcing, permissive or disabled");
  if (const toml::table* aliases = reader.Table("aliases")) RETURN_IF_ERROR(ReadAliases(*aliases, what, conf));
  return reader.status();
}

}  // namespace

const Entry* RegistriesConf::Match(std::string_view name) const {
  const Entry* best = nullptr;
  for (const Entry& entry : entries) {
    if (MatchLength(name, entry.prefix) == 0) continue;
    if (best == nullptr || entry.prefix.size() > best->prefix.size()) best = &entry;
  }
  return best;
}

std::vector<base::Path> RegistriesConfFiles(const base::Path& file) {
  std::vector<base::Path> out;
  if (base::Exists(file)) out.push_back(file);
  const base::Path folder = file.native() + ".d";
  auto names = base::ListFolder(folder);
  if (!names) return out;
  std::ranges::sort(*names);
  for (const std::string& name : *names) {
    if (name.ends_with(".conf") && !name.starts_with('.')) out.push_back(folder / name);
  }
  return out;
}

Result<RegistriesConf> LoadRegistriesConf(const base::Path& file) {
  RegistriesConf conf;
  for (const base::Path& path : RegistriesConfFiles(file)) RETURN_IF_ERROR(ReadFile(path, conf));
  return conf;
}

std::string Rewrite(std::string_view name, std::string_view prefix, std::string_view location) {
  if (location.empty()) return std::string(name);
  return base::Cat(location, name.substr(MatchLength(name, prefix)));
}

Result<std::vector<Reference>> Candidates(const RegistriesConf& conf, std::string_view text) {
  ASSIGN_OR_RETURN(Reference docker, Reference::Parse(text));
  if (Reference::HasDomain(text)) return std::vector{std::move(docker)};
  const size_t colon = text.find(':');
  const size_t at = text.find('@');
  const std::string_view name = text.substr(0, std::min(colon, at));
  const std::string_view rest = text.substr(name.size());
  if (const auto alias = conf.aliases.find(std::string(name)); alias != conf.aliases.end()) {
    ASSIGN_OR_RETURN(Reference named, Reference::Parse(base::Cat(alias->second, rest)));
    return std::vector{std::move(named)};
  }
  if (conf.search.empty()) return std::vector{std::move(docker)};
  if (conf.search.size() > 1 && conf.mode == Mode::kEnforcing) {
    return base::Fail(Code::kInvalidArgument, "image reference \"", text.substr(0, 300), "\": a short name that ",
                      conf.search.size(),
                      " search registries may mean; short-name-mode is enforcing: give the full name or an alias");
  }
  std::vector<Reference> out;
  for (const std::string& host : conf.search) {
    ASSIGN_OR_RETURN(Reference reference, Reference::Parse(base::Cat(host, "/", text)));
    out.push_back(std::move(reference));
  }
  return out;
}

}  // namespace berth::image
