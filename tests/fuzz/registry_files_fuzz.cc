// registries.conf and hosts.toml as an administrator may have garbled them, and names looked up in what is read.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "image/hosts_toml.h"
#include "image/registries_conf.h"

namespace {

struct Ground {
  Ground() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-toml-fuzz-XXXXXX").native();
    path = mkdtemp(name.data());
  }
  ~Ground() { (void)berth::base::RemoveTree(path); }
  berth::base::Path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Ground ground;
  const berth::base::Path file = ground.path / "file";
  if (!berth::base::WriteFile(file, {reinterpret_cast<const char*>(data), size})) abort();
  (void)berth::image::LoadHostsToml(file);
  const auto conf = berth::image::LoadRegistriesConf(file);
  if (!conf) return 0;
  for (const char* name : {"docker.io/library/busybox", "a.example.com/foo/bar", "localhost:5000/x"}) {
    const auto* entry = conf->Match(name);
    if (entry == nullptr) continue;
    // What matched can be rewritten, and keeps what follows the prefix.
    const std::string moved = berth::image::Rewrite(name, entry->prefix, entry->location);
    if (moved.empty()) abort();
  }
  for (const char* name : {"busybox", "team/app:1", "localhost/x"}) (void)berth::image::Candidates(*conf, name);
  return 0;
}
