// The conditions of the List calls: all that are given must hold (CRI API).
#pragma once

#include <string>

#include <google/protobuf/map.h>

namespace berth::server {

using Labels = google::protobuf::Map<std::string, std::string>;

// Every wanted label is there with the same value.
inline bool HasLabels(const Labels& labels, const Labels& wanted) {
  for (const auto& [key, value] : wanted) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace berth::server
