#include "server/filter.h"

#include <algorithm>

#include "cri-proto/api.pb.h"

namespace berth::server {
namespace {

bool HasLabels(const Labels& labels, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& one) {
    const auto found = labels.find(one.first);
    return found != labels.end() && found->second == one.second;
  });
}

// What the store of containers or sandboxes has for the id, and for these labels.
template <typename Objects>
auto Filter(const Objects& objects, const std::string& id, const Labels& labels) {
  decltype(objects.List()) out;
  if (id.empty()) {
    out = objects.List();
  } else if (auto found = objects.Find(id)) {
    out.push_back(*std::move(found));
  }
  std::erase_if(out, [&](const auto& one) { return !HasLabels(one->config->labels(), labels); });
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  return out;
}

}  // namespace

std::vector<std::shared_ptr<const container::Container>> FilterContainers(const Services& services,
                                                                          const std::string& id,
                                                                          const std::string& sandbox_id,
                                                                          const Labels& labels) {
  auto out = Filter(services.containers, id, labels);
  if (sandbox_id.empty()) return out;
  const auto sandbox = services.sandboxes.Find(sandbox_id);
  std::erase_if(out, [&](const auto& one) { return !sandbox || one->sandbox_id != (*sandbox)->id; });
  return out;
}

std::vector<std::shared_ptr<const sandbox::Sandbox>> FilterSandboxes(const Services& services, const std::string& id,
                                                                     const Labels& labels) {
  return Filter(services.sandboxes, id, labels);
}

}  // namespace berth::server
