#include "cli/find.h"

#include <algorithm>
#include <vector>

#include "cli/text.h"

namespace berth::cli {
namespace {

using base::Code;
using base::Fail;

std::string NameOf(const cri::PodSandbox& pod) {
  return base::Cat(pod.metadata().namespace_(), "/", pod.metadata().name());
}
std::string NameOf(const cri::Container& container) {
  return container.metadata().name();
}

bool HasName(const cri::PodSandbox& pod, std::string_view text) {
  return pod.metadata().name() == text || NameOf(pod) == text;
}
bool HasName(const cri::Container& container, std::string_view text) {
  return container.metadata().name() == text;
}

// Those with the whole id, else those with the name, else those whose id begins so.
template <typename T>
std::vector<T> Matches(const google::protobuf::RepeatedPtrField<T>& all, std::string_view text) {
  std::vector<T> out;
  if (text.empty()) return out;
  const auto take = [&](auto&& wanted) {
    if (out.empty()) std::ranges::copy_if(all, std::back_inserter(out), wanted);
  };
  take([&](const T& item) { return item.id() == text; });
  take([&](const T& item) { return HasName(item, text); });
  take([&](const T& item) { return item.id().starts_with(text); });
  return out;
}

template <typename T>
tl::unexpected<base::Error> Several(const std::vector<T>& items, std::string_view kind, std::string_view text) {
  constexpr size_t kShown = 10;
  std::string list;
  for (size_t i = 0; i < std::min(items.size(), kShown); ++i)
    list += base::Cat("\n  ", ShortId(items[i].id()), "  ", NameOf(items[i]));
  return Fail(Code::kInvalidArgument, "\"", text, "\" means ", items.size(), " ", kind,
              "s; give one of their ids:", list);
}

// Earlier attempts of one container of one pod say nothing that the newest does not.
std::vector<cri::Container> WithoutEarlierAttempts(std::vector<cri::Container> items) {
  const bool same = std::ranges::all_of(items, [&](const cri::Container& item) {
    return item.pod_sandbox_id() == items.front().pod_sandbox_id() && NameOf(item) == NameOf(items.front());
  });
  if (items.size() < 2 || !same) return items;
  return {*std::ranges::max_element(items, {}, &cri::Container::created_at)};
}

std::vector<cri::Container> ContainersOf(const Objects& objects, const std::string& pod_id) {
  std::vector<cri::Container> out;
  std::ranges::copy_if(objects.containers.containers(), std::back_inserter(out),
                       [&](const cri::Container& item) { return item.pod_sandbox_id() == pod_id; });
  return out;
}

}  // namespace

base::Result<cri::PodSandbox> FindPod(const Objects& objects, std::string_view text) {
  const auto found = Matches(objects.pods.items(), text);
  if (found.size() > 1) return Several(found, "pod", text);
  if (found.empty()) return Fail(Code::kNotFound, "there is no pod \"", text, "\"; `berth pods` lists them");
  return found.front();
}

base::Result<cri::Container> FindContainer(const Objects& objects, std::string_view text) {
  auto found = WithoutEarlierAttempts(Matches(objects.containers.containers(), text));
  if (found.size() > 1) return Several(found, "container", text);
  if (found.size() == 1) return found.front();
  const auto pods = Matches(objects.pods.items(), text);
  if (pods.size() == 1) {
    found = WithoutEarlierAttempts(ContainersOf(objects, pods.front().id()));
    if (found.size() > 1) return Several(found, "container", text);
    if (found.size() == 1) return found.front();
    return Fail(Code::kNotFound, "the pod \"", text, "\" has no container");
  }
  return Fail(Code::kNotFound, "there is no container \"", text, "\"; `berth ps -a` lists them");
}

base::Result<std::variant<cri::PodSandbox, cri::Container>> FindPodOrContainer(const Objects& objects,
                                                                               std::string_view text) {
  using Either = std::variant<cri::PodSandbox, cri::Container>;
  const auto pods = Matches(objects.pods.items(), text);
  const auto containers = WithoutEarlierAttempts(Matches(objects.containers.containers(), text));
  if (pods.size() > 1) return Several(pods, "pod", text);
  if (pods.size() == 1) {
    const bool inside = std::ranges::all_of(
        containers, [&](const cri::Container& item) { return item.pod_sandbox_id() == pods[0].id(); });
    if (inside) return Either(pods.front());
    return Fail(Code::kInvalidArgument, "\"", text, "\" means a pod (", ShortId(pods.front().id()),
                ") and a container (", ShortId(containers.front().id()), "); give one of their ids");
  }
  if (containers.size() > 1) return Several(containers, "container", text);
  if (containers.size() == 1) return Either(containers.front());
  return Fail(Code::kNotFound, "there is neither a pod nor a container \"", text,
              "\"; see `berth pods` and `berth ps -a`");
}

}  // namespace berth::cli
