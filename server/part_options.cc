#include "server/part_options.h"

#include <unistd.h>

#include "cri-proto/api.pb.h"
#include "cri-proto/berth.pb.h"
#include "cri-proto/cri.h"
#include "image/auth_files.h"
#include "server/telemetry/measured.h"

namespace berth::server {
namespace {

// "credential-helpers" of registries.conf says who is asked and when: the files are one of them.
image::CredentialSource CredentialSourceOf(const config::Config::Image& config,
                                           std::shared_ptr<image::RegistryFiles> files) {
  auto auth = std::make_shared<const image::AuthFiles>(
      image::AuthFiles::Options{.files = {config.auth_files.begin(), config.auth_files.end()},
                                .helper_timeout = config.auth_helper_timeout,
                                .program_folders = {}});
  return [auth, files](std::string_view host, std::string_view repository,
                       const base::Context& context) -> base::Result<image::AuthConfig> {
    ASSIGN_OR_RETURN(const auto conf, files->Conf());
    std::vector<std::string> order = conf->credential_helpers;
    if (order.empty()) order = {"containers-auth.json"};
    for (const std::string& name : order) {
      auto found =
          name == "containers-auth.json" ? auth->Find(host, repository, context) : auth->AskHelper(name, host, context);
      if (!found || !found->empty()) return found;
    }
    return image::AuthConfig();
  };
}

network::IpPreference IpPreferenceOf(config::IpPreference preference) {
  switch (preference) {
    case config::IpPreference::kIpv4:
      return network::IpPreference::kIpv4;
    case config::IpPreference::kIpv6:
      return network::IpPreference::kIpv6;
    case config::IpPreference::kCni:
      return network::IpPreference::kCni;
  }
  return network::IpPreference::kIpv4;
}

}  // namespace

image::Store::Options StoreOptionsOf(const config::Config& config) {
  image::Store::Options out{.folder = config.state_root / "images", .pinned = config.image.pinned};
  out.limits.file_bytes = config.image.max_layer_size.bytes;
  out.limits.entries = static_cast<uint64_t>(config.image.max_layer_entries);
  // How large a window may be is the budget's to say.
  out.limits.decompress.zstd_window_log = 31;
  out.limits.decompress.windows = image::WindowBudget::Make(config.image.window_memory.bytes);
  return out;
}

image::RegistryOptions RegistryOptionsOf(const config::Config::Image& config) {
  image::RegistryOptions out;
  out.files = std::make_shared<image::RegistryFiles>(
      image::RegistryFiles::Options{.host_folders = {config.certificate_dirs.begin(), config.certificate_dirs.end()},
                                    .registries_conf = config.registries_conf});
  out.credentials = CredentialSourceOf(config, out.files);
  out.http.certificate_folders.assign(config.certificate_dirs.begin(), config.certificate_dirs.end());
  out.http.connect_timeout = config.connect_timeout;
  out.http.stall_window = config.stall_window;
  out.http.stall_bytes = static_cast<int64_t>(config.stall_bytes.bytes);
  out.signature_policy = config.signature_policy;
  out.attempts = static_cast<int>(config.attempts);
  out.mirror_attempts = static_cast<int>(config.mirror_attempts);
  for (const auto& [host, registry] : config.registries) {
    image::RegistryConfig& mapped = out.registries[host];
    mapped.insecure = registry.insecure;
    for (const std::string& mirror : registry.mirrors)
      mapped.mirrors.push_back({.url = mirror, .insecure = registry.insecure});
  }
  return out;
}

network::Options NetworkOptionsOf(const config::Config& config, telemetry::Metrics& metrics) {
  network::Options out;
  out.conf_dir = config.network.conf_dir;
  out.bin_dirs.assign(config.network.bin_dirs.begin(), config.network.bin_dirs.end());
  out.cache_dir = config.network.cache_dir.empty() ? config.state_root / "cni" : config.network.cache_dir;
  out.plugin_timeout = config.network.plugin_timeout;
  out.default_network = config.network.default_network;
  out.ip_preference = IpPreferenceOf(config.network.ip_preference);
  out.runner = [folders = out.bin_dirs, &metrics](int held) {
    return telemetry::Measured(std::make_unique<network::ProcessRunner>(folders, held), metrics);
  };
  return out;
}

std::vector<std::pair<std::string, std::string>> TraceResource() {
  char host[256] = "";
  (void)gethostname(host, sizeof host - 1);
  return {{"service.name", "berthd"}, {"service.version", BERTH_VERSION}, {"host.name", host}};
}

std::vector<std::string> MethodNames() {
  std::vector<std::string> out;
  for (const auto* file :
       {cri::VersionRequest::descriptor()->file(), berth::v1::LoadImagesRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) out.push_back(file->service(i)->method(j)->name());
    }
  }
  return out;
}

}  // namespace berth::server
