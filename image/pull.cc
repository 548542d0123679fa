#include "image/pull.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <map>
#include <mutex>
#include <optional>

#include "base/executor.h"
#include "base/unique_fd.h"
#include "image/pull_operation.h"
#include "image/store.h"

namespace berth::image {
namespace {

using base::Code;
constexpr size_t kMaxWaitingPulls = 1024;
constexpr size_t kPullStack = 512 << 10;

// A pull and those who wait for it.
struct Flight {
  explicit Flight(std::unique_ptr<PullOperation> work) : operation(std::move(work)) {}
  std::unique_ptr<PullOperation> operation;
  base::UniqueFd ended;  // readable once there is a result, for every waiter
  // Under the puller's mutex:
  int waiters = 1;
  std::optional<base::Result<PullResult>> result;
};

}  // namespace

struct Puller::State {
  explicit State(Options given)
      : options(std::move(given)), threads({.name = "pull", .threads = options.pulls, .queue = kMaxWaitingPulls, .stack_bytes = kPullStack}) {}

  const Options options;
  TokenCache tokens;
  LayerBoard board;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Flight>> flights;  // those that can be joined
  bool ending = false;
  base::Executor threads;  // last: its end waits for what uses the rest

  void Forget(const std::string& key, const std::shared_ptr<Flight>& flight) {
    const auto found = flights.find(key);
    if (found != flights.end() && found->second == flight) flights.erase(found);
  }

  void End(const std::string& key, const std::shared_ptr<Flight>& flight, base::Result<PullResult> result) {
    const std::lock_guard lock(mutex);
    Forget(key, flight);
    flight->result = std::move(result);
    eventfd_write(flight->ended.get(), 1);
  }

  // The flight for this key, joined or new; `fresh` says which.
  base::Result<std::shared_ptr<Flight>> Join(const std::string& key, const Reference& reference, const AuthConfig& auth, bool& fresh) {
    const std::lock_guard lock(mutex);
    if (ending) return base::Fail(Code::kUnavailable, "no pulls are taken any more");
    std::shared_ptr<Flight>& flight = flights[key];
    fresh = flight == nullptr || flight->operation->cancelled();
    if (!fresh) {
      ++flight->waiters;
      return flight;
    }
    base::UniqueFd ended(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!ended) {
      const int err = errno;
      flights.erase(key);
      return base::FailErrno(err, "eventfd");
    }
    flight = std::make_shared<Flight>(std::make_unique<PullOperation>(options, &board, &tokens, reference, auth));
    flight->ended = std::move(ended);
    return flight;
  }

  void Leave(const std::string& key, const std::shared_ptr<Flight>& flight) {
    {
      const std::lock_guard lock(mutex);
      if (--flight->waiters > 0) return;
      Forget(key, flight);
    }
    flight->operation->Cancel();
  }
};

Puller::Puller(Options options) : state_(std::make_unique<State>(std::move(options))) {}

Puller::~Puller() {
  std::map<std::string, std::shared_ptr<Flight>> flights;
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
    flights = state_->flights;
  }
  for (const auto& [key, flight] : flights) flight->operation->Cancel();
}

base::Result<PullResult> Puller::Pull(const Reference& reference, const AuthConfig& auth, const base::Context& context) {
  if (!reference.digest.empty()) {
    ASSIGN_OR_RETURN(const ImagePtr present, state_->options.store->Find(reference.Full()));
    if (present != nullptr) {
      ASSIGN_OR_RETURN(Digest id, Digest::Parse(present->id));
      return PullResult{std::move(id), reference.digest};
    }
  }
  const std::string key = base::Cat(reference.Full(), " ", auth.Key());
  bool fresh = false;
  ASSIGN_OR_RETURN(const std::shared_ptr<Flight> flight, state_->Join(key, reference, auth, fresh));
  if (fresh) {
    const base::Status submitted = state_->threads.Submit([state = state_.get(), key, flight] {
      state->End(key, flight, flight->operation->Run());
    });
    if (!submitted) state_->End(key, flight, tl::make_unexpected(submitted.error()));
  }
  const auto ended = context.Wait(flight->ended.get(), POLLIN, base::Cat("pull ", reference.Full()));
  if (!ended) {
    state_->Leave(key, flight);
    return tl::make_unexpected(ended.error());
  }
  const std::lock_guard lock(state_->mutex);
  return *flight->result;
}

std::vector<PullProgress> Puller::InFlight() const {
  std::vector<std::shared_ptr<Flight>> flights;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [key, flight] : state_->flights) flights.push_back(flight);
  }
  std::vector<PullProgress> out;
  for (const auto& flight : flights) out.push_back(flight->operation->Progress());
  return out;
}

}  // namespace berth::image
