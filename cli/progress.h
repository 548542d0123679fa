// The state of a pull as lines of text: a bar, bytes and speed for each layer.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "cri-proto/berth.pb.h"

namespace berth::cli {

class PullProgress {
 public:
  void Update(const v1::PullProgressEvent& event, base::TimePoint now);

  // For a terminal: one line for each layer, the busy ones first where they do not all fit, and a sum below. None is
  // longer than `columns` or contains more than `rows` lines. Empty until the layers are known.
  std::vector<std::string> Lines(size_t columns, size_t rows) const;
  // For a file: what has changed since the last call and is worth a line of its own (layers that are complete).
  std::vector<std::string> TakeNews();

 private:
  // Bytes a second, averaged over about two seconds.
  struct Speed {
    base::TimePoint at;
    int64_t bytes = 0;
    double rate = 0;
  };

  v1::PullProgressEvent event_;
  std::map<std::string, Speed> speeds_;
  std::set<std::string> told_;
};

}  // namespace berth::cli
