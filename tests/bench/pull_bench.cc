// One pull into an empty store, measured; and the registry that it comes from. tests/bench/pull runs both beside the
// floor.
#include <sys/resource.h>

#include <cstdio>
#include <string_view>

#include "base/time.h"
#include "image/pull.h"
#include "image/store.h"
#include "tests/bench/blob_server.h"

namespace {

using namespace berth;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

int Pull(const char* name, const char* folder, size_t layers) {
  auto store = image::Store::Open({.folder = folder, .pinned = {}, .limits = {}, .candidates = {}});
  if (!store) {
    std::fprintf(stderr, "%s\n", store.error().Text().c_str());
    return 1;
  }
  (*store)->Collect();
  image::Puller::Options options;
  options.store = store->get();
  options.parallel_layers = layers;
  image::Puller puller(options);
  const auto reference = image::Reference::Parse(name);
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  const base::TimePoint start = base::Monotonic::now();
  const auto pulled = reference ? puller.Pull(*reference, {}, {}) : tl::make_unexpected(reference.error());
  const std::chrono::duration<double> wall = base::Monotonic::now() - start;
  if (!pulled) {
    std::fprintf(stderr, "%s\n", pulled.error().Text().c_str());
    return 1;
  }
  rusage after{};
  getrusage(RUSAGE_SELF, &after);
  std::printf("%.3f %.3f %.3f %ld\n", wall.count(), Seconds(after.ru_utime) - Seconds(before.ru_utime),
              Seconds(after.ru_stime) - Seconds(before.ru_stime), after.ru_maxrss - before.ru_maxrss);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "serve") berth::bench::ServeLayout(argv[2]);
  if (argc == 5 && std::string_view(argv[1]) == "pull")
    return Pull(argv[2], argv[3], static_cast<size_t>(std::atoi(argv[4])));
  std::fprintf(stderr, "usage: %s serve LAYOUT | pull REFERENCE FOLDER PARALLEL-LAYERS\n", argv[0]);
  return 2;
}
