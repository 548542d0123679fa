#include "kernel/boot.h"

#include "base/file.h"
#include "base/strings.h"

namespace berth::kernel {

base::Result<std::string> BootId() {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile("/proc/sys/kernel/random/boot_id", 4096));
  std::string id(base::Trim(text));
  if (id.size() != 36) return base::Fail(base::Code::kInternal, "boot id: unexpected form");
  return id;
}

}  // namespace berth::kernel
