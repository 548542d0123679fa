// The conditions of the List calls: all that are given must hold (CRI API). "No match or ambiguous prefix: empty list,
// no error": a filter is no look-up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <google/protobuf/map.h>

#include "server/services.h"

namespace berth::server {

using Labels = google::protobuf::Map<std::string, std::string>;

// The youngest first. Empty conditions are none; a label must be there with the same value.
std::vector<std::shared_ptr<const container::Container>> FilterContainers(const Services& services,
                                                                          const std::string& id,
                                                                          const std::string& sandbox_id,
                                                                          const Labels& labels);
std::vector<std::shared_ptr<const sandbox::Sandbox>> FilterSandboxes(const Services& services, const std::string& id,
                                                                     const Labels& labels);

}  // namespace berth::server
