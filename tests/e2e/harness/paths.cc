#include "tests/e2e/harness/paths.h"

#include <unistd.h>

namespace berth::e2e {

base::Path Berthd() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "berthd";
}

base::Path BerthClient() {
  return Berthd().parent_path() / "berth";
}

base::Path SpdyPeer() {
  return Berthd().parent_path() / "e2e_spdy_peer";
}

base::Path ImagesScript() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "e2e_images.py";
}

base::Path OciRuntime(const std::string& name) {
  for (const char* folder : {"/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"}) {
    base::Path path = base::Path(folder) / name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace berth::e2e
