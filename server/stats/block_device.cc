#include "server/stats/block_device.h"

#include "base/strings.h"

namespace berth::stats {

std::string DeviceName(uint32_t major, uint32_t minor, const base::Path& sys) {
  const std::string numbers = base::Cat(major, ":", minor);
  std::error_code error;
  const base::Path target = std::filesystem::read_symlink(sys / numbers, error);
  return error ? numbers : base::Cat("/dev/", target.filename().native());
}

}  // namespace berth::stats
