#include "server/figures.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace berth::server {
namespace {

using telemetry::Figure;
using Kind = Figure::Kind;

Figure Gauge(std::string name, std::string help, size_t value,
             std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {Kind::kGauge, std::move(name), std::move(help), std::move(labels), static_cast<double>(value)};
}

void AddPods(const Services& services, std::vector<Figure>& out) {
  const auto pods = services.sandboxes.List();
  for (const auto state : {sandbox::State::kReady, sandbox::State::kNotReady}) {
    const auto count = std::ranges::count_if(pods, [&](const auto& pod) { return pod->state == state; });
    out.push_back(Gauge("berth_pods", "Pods by state.", static_cast<size_t>(count),
                        {{"state", std::string(sandbox::StateName(state))}}));
  }
  const auto containers = services.containers.List();
  for (const auto state : {container::State::kCreated, container::State::kRunning, container::State::kExited}) {
    const auto count =
        std::ranges::count_if(containers, [&](const auto& container) { return container->state == state; });
    out.push_back(Gauge("berth_containers", "Containers by state.", static_cast<size_t>(count),
                        {{"state", std::string(container::StateName(state))}}));
  }
}

}  // namespace

std::vector<Figure> AllFigures(const Services& services, const Leftovers& leftovers, const telemetry::Tracer* tracer) {
  std::vector<Figure> out;
  out.push_back(Gauge("berth_build_info", "Which berthd this is.", 1, {{"version", BERTH_VERSION}}));
  AddPods(services, out);
  out.push_back(Gauge("berth_images", "Images in the store.", services.images.List()->size()));
  out.push_back(Gauge("berth_image_pulls_in_flight", "Pulls that are under way or wait for their turn.",
                      services.puller.InFlight().size()));
  out.push_back(
      Gauge("berth_streams_open", "Exec, attach and port-forward sessions of clients.", services.streaming.sessions()));
  out.push_back({Kind::kCounter,
                 "berth_leftovers_found_total",
                 "Objects of which something could not be taken back at once.",
                 {},
                 static_cast<double>(leftovers.repaired + leftovers.waiting)});
  out.push_back({Kind::kCounter,
                 "berth_leftovers_repaired_total",
                 "Of these, those that were taken back later.",
                 {},
                 static_cast<double>(leftovers.repaired)});
  out.push_back(Gauge("berth_leftovers", "Objects of which something is still to be taken back.", leftovers.waiting));
  out.push_back(Gauge("berth_records_unwritten", "Records that the disk did not take and that are tried again.",
                      services.containers.dirty() + services.sandboxes.dirty()));
  if (tracer != nullptr) {
    std::vector<Figure> traces = tracer->Figures();
    std::ranges::move(traces, std::back_inserter(out));
  }
  std::vector<Figure> process = telemetry::ProcessFigures();
  std::ranges::move(process, std::back_inserter(out));
  return out;
}

}  // namespace berth::server
