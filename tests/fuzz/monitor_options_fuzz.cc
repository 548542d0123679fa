// The monitor's command line; arguments are separated by newlines.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "conmon/options.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> texts = {"berth-monitor", ""};
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '\n')
      texts.emplace_back();
    else if (data[i] != '\0')
      texts.back().push_back(static_cast<char>(data[i]));
  }
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  berth::conmon::MonitorOptions options;
  if (berth::conmon::ParseOptions(argv, options) != nullptr) return 0;
  if (options.id == nullptr || options.runtime == nullptr || options.runtime[0] == nullptr) std::abort();
  if (options.log_limit < 1 || options.log_limit > berth::conmon::kLogLimitMax) std::abort();
  return 0;
}
