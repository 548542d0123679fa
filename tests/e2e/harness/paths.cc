#include "tests/e2e/harness/paths.h"

#include <unistd.h>

namespace berth::e2e {
namespace {

base::Path Beside(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace

base::Path Berthd() {
  return Beside("berthd");
}

base::Path BerthClient() {
  return Beside("berth");
}

base::Path SpdyPeer() {
  return Beside("e2e_spdy_peer");
}

base::Path ImagesScript() {
  return Beside("e2e_images.py");
}

base::Path KubeletMessage(const std::string& name) {
  return Beside("e2e_kubelet") / (name + ".txtpb");
}

base::Path OciRuntime(const std::string& name) {
  for (const char* folder : {"/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"}) {
    base::Path path = base::Path(folder) / name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace berth::e2e
