#include "server/offline_check.h"

#include <cstdio>

#include "base/strings.h"
#include "server/part_options.h"
#include "state/root_lock.h"

namespace berth::server {
namespace {

void Print(const std::string& line) {
  std::printf("%s\n", line.c_str());
}

}  // namespace

base::Result<bool> CheckOffline(const config::Config& config, const image::CheckOptions& options) {
  const auto lock = state::LockRoot(config.state_root);
  if (!lock) {
    const bool taken = lock.error().code == base::Code::kFailedPrecondition;
    return tl::make_unexpected(
        base::Error{.code = lock.error().code,
                    .message = lock.error().message + (taken ? ": `berth check` asks it to look" : ""),
                    .err = lock.error().err});
  }
  ASSIGN_OR_RETURN(const auto store, image::Store::Open(StoreOptionsOf(config)));
  ASSIGN_OR_RETURN(const image::CheckReport report, image::CheckStore(*store, options, base::Context()));
  for (const image::StoreProblem& problem : store->problems()) Print(base::Cat(problem.name, ": ", problem.what));
  for (const image::StoreProblem& problem : report.problems) Print(base::Cat(problem.name, ": ", problem.what));
  for (const std::string& id : report.removed) Print(base::Cat("removed image ", id, "; pull it again"));
  const size_t problems = store->problems().size() + report.problems.size();
  Print(base::Cat(report.images, " images, ", report.layers, " layers, ", problems, " problems"));
  if (report.unverifiable > 0) Print(base::Cat("the contents of ", report.unverifiable, " layers cannot be compared"));
  return problems == 0;
}

}  // namespace berth::server
