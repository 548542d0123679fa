// The steps of operations as a picture in text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli {

struct PictureStep {
  std::string stage;
  int64_t started_at = 0;  // Unix nanoseconds
  int64_t duration = 0;    // nanoseconds
};
struct PictureOperation {
  std::string operation;  // "RunPodSandbox"
  std::string code;       // empty: success
  int64_t started_at = 0;
  int64_t duration = 0;
  std::vector<PictureStep> steps;
};

// The "timeline" of a status's verbose info.
base::Result<std::vector<PictureOperation>> ParseTimeline(std::string_view json);

// A heading for each operation and a line for each step, with its time and a bar where it lies in its operation:
//
//   RunPodSandbox  80.0 ms  2026-11-28 12:00:00.123 UTC
//     files             20.0 ms  |##########                              |
//     cni ADD bridge    60.0 ms  |          ##############################|
std::string DrawTimeline(const std::vector<PictureOperation>& operations);

}  // namespace berth::cli
