#include "image/registry_files.h"

#include <sys/stat.h>

#include "base/strings.h"
#include "image/hosts_toml.h"

namespace berth::image {
namespace {

using base::Code;
using base::Path;
using base::Result;
using From = RegistriesConf::Mirror::From;
constexpr std::string_view kHostsFile = "hosts.toml";

// Changes whenever one of the files does: a new file, a new version, one less.
std::string StampOf(const std::vector<Path>& files) {
  std::string out;
  for (const Path& file : files) {
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) info = {};
    out += base::Cat(file.native(), " ", info.st_dev, " ", info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec,
                     ".", info.st_mtim.tv_nsec, " ", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec, "\n");
  }
  return out;
}

// "?ns=" tells a proxy which registry it stands for; the registry itself knows.
Place PlaceOf(const HostsToml::Host& host, const Reference& reference) {
  std::string_view name = std::string_view(host.url).substr(host.url.find("://") + 3);
  name = name.substr(0, name.find('/'));
  const std::string ns = name == reference.WireHost() || name == reference.domain ? std::string() : reference.domain;
  return {.url = host.url,
          .whole = host.whole,
          .path = reference.path,
          .ns = ns,
          .insecure = host.url.starts_with("http://"),
          .resolve = host.resolve,
          .pull = host.pull,
          .mirror = true,
          .settings = std::make_shared<const HostSettings>(host.settings)};
}

std::vector<Place> PlacesOf(const HostsToml& hosts, const Reference& reference) {
  std::vector<Place> out;
  for (const HostsToml::Host& host : hosts.hosts) out.push_back(PlaceOf(host, reference));
  if (!hosts.server) {
    out.push_back({.url = reference.WireHost(), .path = reference.path, .mirror = false});
    return out;
  }
  Place server = PlaceOf(*hosts.server, reference);
  server.mirror = false;
  out.push_back(std::move(server));
  return out;
}

// "host[:port]/path" as a place.
Result<Place> PlaceAt(std::string_view name, bool insecure, bool mirror) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos || slash + 1 == name.size()) {
    return base::Fail(Code::kInvalidArgument, "registries.conf: \"", name, "\" has no repository in it");
  }
  const std::string_view host = name.substr(0, slash);
  return Place{.url = std::string(host == "docker.io" ? "registry-1.docker.io" : host),
               .path = std::string(name.substr(slash + 1)),
               .insecure = insecure,
               .mirror = mirror};
}

Result<std::vector<Place>> PlacesOf(const RegistriesConf::Entry& entry, const Reference& reference) {
  std::vector<Place> out;
  const bool by_digest = !reference.digest.empty();
  for (const RegistriesConf::Mirror& mirror : entry.mirrors) {
    if ((mirror.from == From::kDigestOnly && !by_digest) || (mirror.from == From::kTagOnly && by_digest)) continue;
    ASSIGN_OR_RETURN(Place place,
                     PlaceAt(Rewrite(reference.Name(), entry.prefix, mirror.location), mirror.insecure, true));
    out.push_back(std::move(place));
  }
  ASSIGN_OR_RETURN(Place own, PlaceAt(Rewrite(reference.Name(), entry.prefix, entry.location), entry.insecure, false));
  out.push_back(std::move(own));
  return out;
}

Result<std::optional<HostsToml>> HostsIn(const std::vector<Path>& folders, std::string_view host) {
  const Path folder = HostFolder(folders, host);
  if (folder.empty() || !base::Exists(folder / kHostsFile)) return std::optional<HostsToml>();
  ASSIGN_OR_RETURN(HostsToml hosts, LoadHostsToml(folder / kHostsFile));
  return std::optional(std::move(hosts));
}

}  // namespace

Result<std::shared_ptr<const RegistriesConf>> RegistryFiles::Conf() {
  if (options_.registries_conf.empty()) return std::make_shared<const RegistriesConf>();
  // The stamp is taken first: a change while the files are read is noticed next time.
  std::string stamp = StampOf(RegistriesConfFiles(options_.registries_conf));
  auto known = seen_.With([&](const Seen& seen) { return seen.stamp == stamp ? seen.conf : nullptr; });
  if (known) return known;
  ASSIGN_OR_RETURN(RegistriesConf loaded, LoadRegistriesConf(options_.registries_conf), "registry configuration");
  auto conf = std::make_shared<const RegistriesConf>(std::move(loaded));
  seen_.With([&](Seen& seen) { seen = {std::move(stamp), conf}; });
  return conf;
}

Result<std::optional<std::vector<Place>>> RegistryFiles::PlacesFor(const Reference& reference) {
  ASSIGN_OR_RETURN(const auto conf, Conf());
  const RegistriesConf::Entry* entry = conf->Match(reference.Name());
  if (entry != nullptr && entry->blocked) {
    return base::Fail(Code::kFailedPrecondition, reference.Full(), ": registry ", entry->prefix, " is blocked in ",
                      options_.registries_conf.native());
  }
  ASSIGN_OR_RETURN(const auto own, HostsIn(options_.host_folders, reference.domain), "registry configuration");
  if (own) return std::optional(PlacesOf(*own, reference));
  if (entry != nullptr) {
    ASSIGN_OR_RETURN(std::vector<Place> places, PlacesOf(*entry, reference));
    return std::optional(std::move(places));
  }
  ASSIGN_OR_RETURN(const auto any, HostsIn(options_.host_folders, "_default"), "registry configuration");
  return any ? std::optional(PlacesOf(*any, reference)) : std::nullopt;
}

Result<std::vector<Reference>> RegistryFiles::Candidates(std::string_view text) {
  if (Reference::HasDomain(text)) return image::Candidates({}, text);
  ASSIGN_OR_RETURN(const auto conf, Conf());
  return image::Candidates(*conf, text);
}

}  // namespace berth::image
