#include "server/events.h"

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"

namespace berth::server {

using base::Code;

base::Result<Event> Events::Listener::Take() {
  return state_.With([](State& state) -> base::Result<Event> {
    if (!state.queue.empty()) {
      Event next = std::move(state.queue.front());
      state.queue.pop_front();
      state.bytes -= next->ByteSizeLong();
      return next;
    }
    if (state.ended) return tl::make_unexpected(*state.ended);
    return Event();
  });
}

void Events::Listener::End(base::Error error) {
  const bool first = state_.With([&](State& state) {
    if (state.ended) return false;
    state.ended = std::make_shared<const base::Error>(std::move(error));
    return true;
  });
  if (first) wake_();
}

void Events::OnContainer(const ContainerPtr& before, const ContainerPtr& after) {
  const bool seen = before && !before->creating;
  if (!after) {
    if (seen) Note(cri::CONTAINER_DELETED_EVENT, before->id, before->sandbox_id);
    return;
  }
  if (after->creating) return;
  const auto note = [&](cri::ContainerEventType type) { Note(type, after->id, after->sandbox_id); };
  if (!seen) note(cri::CONTAINER_CREATED_EVENT);
  if (after->started_at != 0 && before && before->started_at == 0) note(cri::CONTAINER_STARTED_EVENT);
  const bool exited = after->state == container::State::kExited;
  if (exited && before && before->state != container::State::kExited) note(cri::CONTAINER_STOPPED_EVENT);
}

void Events::OnSandbox(const SandboxPtr& before, const SandboxPtr& after) {
  const bool seen = before && !before->creating;
  if (!after) {
    if (seen) Note(cri::CONTAINER_DELETED_EVENT, before->id, before->id, before);
    return;
  }
  if (after->creating) return;
  const auto note = [&](cri::ContainerEventType type) { Note(type, after->id, after->id); };
  if (!seen) {
    note(cri::CONTAINER_CREATED_EVENT);
    note(cri::CONTAINER_STARTED_EVENT);
  }
  if (seen && before->state == sandbox::State::kReady && after->state == sandbox::State::kNotReady) {
    note(cri::CONTAINER_STOPPED_EVENT);
  }
}

void Events::Note(cri::ContainerEventType type, const std::string& id, const std::string& sandbox_id, SandboxPtr gone) {
  state_.With([&](State& state) {
    std::erase_if(state.listeners, [](const auto& one) { return one.expired(); });
    if (state.ended || state.listeners.empty() || state.changes.size() > options_.pending) return;
    state.last = std::max(state.last, base::UnixNanos());
    state.changes.push_back(
        {.type = type, .id = id, .sandbox_id = sandbox_id, .time = state.last, .sandbox = std::move(gone)});
    if (!state.running) state.running = options_.executor->Submit([this] { DescribeAll(); }).has_value();
  });
}

std::vector<std::shared_ptr<Events::Listener>> Events::Living() {
  return state_.With([](State& state) {
    std::vector<std::shared_ptr<Listener>> out;
    for (const auto& one : state.listeners) {
      if (auto listener = one.lock()) out.push_back(std::move(listener));
    }
    return out;
  });
}

void Events::DescribeAll() {
  while (true) {
    bool lost = false;
    const auto change = state_.With([&](State& state) -> std::optional<Change> {
      lost = state.changes.size() > options_.pending;
      if (lost || state.ended) state.changes.clear();
      if (state.changes.empty()) {
        state.running = lost;
        return std::nullopt;
      }
      Change next = std::move(state.changes.front());
      state.changes.pop_front();
      if (next.sandbox) return next;
      // A pod may have been removed since; its last known status is in its own change behind.
      const auto removed = std::ranges::find_if(
          state.changes, [&](const Change& one) { return one.sandbox && one.id == next.sandbox_id; });
      if (removed != state.changes.end()) next.sandbox = removed->sandbox;
      return next;
    });
    const auto listeners = Living();
    if (lost) {
      for (const auto& listener : listeners) {
        listener->End(
            {.code = Code::kResourceExhausted, .message = "events were lost: more happened at once than can be told"});
      }
      continue;
    }
    if (!change) return;
    auto event = std::make_shared<cri::ContainerEventResponse>();
    options_.describe(*change, *event);
    const size_t bytes = event->ByteSizeLong();
    for (const auto& listener : listeners) {
      const bool room = listener->state_.With([&](Listener::State& state) {
        if (state.ended) return true;
        // One alone always fits.
        const bool full = state.queue.size() >= options_.queue || state.bytes + bytes > options_.queue_bytes;
        if (full && !state.queue.empty()) return false;
        state.queue.push_back(event);
        state.bytes += bytes;
        return true;
      });
      if (room)
        listener->wake_();
      else
        listener->End(
            {.code = Code::kResourceExhausted, .message = "events were lost: the listener did not take them"});
    }
  }
}

std::shared_ptr<Events::Listener> Events::Listen(std::function<void()> wake) {
  std::shared_ptr<Listener> made(new Listener(std::move(wake)));
  const bool ended = state_.With([&](State& state) {
    std::erase_if(state.listeners, [](const auto& one) { return one.expired(); });
    state.listeners.push_back(made);
    return state.ended;
  });
  if (ended) made->End({.code = Code::kUnavailable, .message = "the daemon ends"});
  return made;
}

size_t Events::listeners() {
  return Living().size();
}

void Events::End() {
  state_.With([](State& state) { state.ended = true; });
  for (const auto& listener : Living()) listener->End({.code = Code::kUnavailable, .message = "the daemon ends"});
}

}  // namespace berth::server
