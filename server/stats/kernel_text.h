// The few forms in which the kernel writes numbers. What has another form is left out, never guessed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/stats/cgroup_stats.h"

namespace berth::stats {

// "4096\n"; absent for "max", for v1's way to write "no limit" and for what is no number.
std::optional<uint64_t> ParseNumber(std::string_view text);

// "key 12\nother 3\n"
void EachKeyedNumber(std::string_view text, const std::function<void(std::string_view key, uint64_t value)>& visit);

// "some avg10=0.12 avg60=0.01 avg300=0.00 total=1234\nfull ..."
std::optional<Pressure> ParsePressure(std::string_view text);

// io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6"
std::vector<DeviceIo> ParseIoStat(std::string_view text);
// blkio.throttle.*: "8:0 Read 12"; `bytes` and `operations` are two files.
std::vector<DeviceIo> ParseBlkio(std::string_view bytes, std::string_view operations);

}  // namespace berth::stats
