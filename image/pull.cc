#include "image/pull.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "base/executor.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "image/archive.h"
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

PullEnd EndOf(const PullOperation& operation, const base::Result<PullResult>& result, const std::string& request) {
  PullEnd out{.request = request,
              .from_archive = operation.from_archive(),
              .image_id = result ? result->image_id.str() : "",
              .timeline = operation.Timeline(),
              .error = result ? nullptr : &result.error()};
  for (const LayerProgress& layer : operation.Progress().layers) {
    if (layer.fetched) out.bytes += static_cast<uint64_t>(layer.done);
    if (layer.state == LayerState::kDone) ++(layer.fetched ? out.layers_fetched : out.layers_reused);
  }
  return out;
}

}  // namespace

struct Puller::State {
  explicit State(Options given)
      : options(std::move(given)),
        threads({.name = "pull", .threads = options.pulls, .queue = kMaxWaitingPulls, .stack_bytes = kPullStack}) {}

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

  using Maker = std::function<std::unique_ptr<PullOperation>()>;

  // The flight for this key, joined or new; `fresh` says which.
  base::Result<std::shared_ptr<Flight>> Join(const std::string& key, const Maker& make, bool& fresh) {
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
    flight = std::make_shared<Flight>(make());
    flight->ended = std::move(ended);
    return flight;
  }

  base::Result<PullResult> Fly(const std::string& key, std::string_view what, const Maker& make,
                               const base::Context& context);

  void Leave(const std::string& key, const std::shared_ptr<Flight>& flight) {
    {
      const std::lock_guard lock(mutex);
      if (--flight->waiters > 0) return;
      Forget(key, flight);
    }
    flight->operation->Cancel();
  }
};

// Joins the flight for this key or starts it, and waits for its end.
base::Result<PullResult> Puller::State::Fly(const std::string& key, std::string_view what, const Maker& make,
                                            const base::Context& context) {
  bool fresh = false;
  ASSIGN_OR_RETURN(const std::shared_ptr<Flight> flight, Join(key, make, fresh));
  if (fresh) {
    const base::Status submitted = threads.Submit([this, key, flight, request = context.id()] {
      base::Result<PullResult> result = flight->operation->Run();
      if (options.ended) options.ended(EndOf(*flight->operation, result, request));
      End(key, flight, std::move(result));
    });
    if (!submitted) End(key, flight, tl::make_unexpected(submitted.error()));
  }
  const auto ended = context.Wait(flight->ended.get(), POLLIN, what);
  if (!ended) {
    Leave(key, flight);
    return tl::make_unexpected(ended.error());
  }
  const std::lock_guard lock(mutex);
  return *flight->result;
}

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

base::Result<PullResult> Puller::Pull(const Reference& reference, const AuthConfig& auth,
                                      const base::Context& context) {
  ASSIGN_OR_RETURN(const SignaturePolicy policy, SignaturePolicy::Load(state_->options.registry.signature_policy));
  // What is here may have come before the policy did.
  if (!reference.digest.empty() && !NeedsSignatures(policy.For(reference))) {
    RETURN_IF_ERROR(CheckSignatures(policy.For(reference), {}, reference, {}));
    ASSIGN_OR_RETURN(const ImagePtr present, state_->options.store->Find(reference.Full()));
    if (present != nullptr) {
      ASSIGN_OR_RETURN(Digest id, Digest::Parse(present->id));
      return PullResult{std::move(id), reference.digest};
    }
  }
  const std::string key = base::Cat(reference.Full(), " ", auth.Key());
  State& state = *state_;
  return state.Fly(
      key, base::Cat("pull ", reference.Full()),
      [&] { return std::make_unique<PullOperation>(state.options, &state.board, &state.tokens, reference, auth); },
      context);
}

base::Result<std::vector<ImportedImage>> Puller::Import(const base::Path& file, const base::Context& context) {
  State& state = *state_;
  ASSIGN_OR_RETURN(base::UniqueFd spare, state.options.store->SpareFile());
  ASSIGN_OR_RETURN(
      const std::shared_ptr<Archive> archive,
      Archive::Open(file, std::move(spare), state.options.platform, context, state.options.store->limits().decompress));
  std::vector<ImportedImage> out;
  for (const ArchivedImage& image : archive->images()) {
    LocalImage local{.source = archive, .top = image.top, .repo_tags = {}, .repo_digests = {}, .shown = file.native()};
    for (const Reference& name : image.names) {
      if (!name.tag.empty()) local.repo_tags.push_back(name.Full());
      if (!image.made_up) local.repo_digests.push_back(base::Cat(name.Name(), "@", image.top.digest.str()));
    }
    if (!image.names.empty()) local.shown = image.names.front().Full();
    const std::vector<std::string> names = local.repo_tags;
    // Never shared with a pull of the same name: that one asks a registry.
    const std::string key = base::Cat("import ", file.native(), " ", image.top.digest.str());
    ASSIGN_OR_RETURN(PullResult brought,
                     state.Fly(
                         key, base::Cat("import ", file.native()),
                         [&] { return std::make_unique<PullOperation>(state.options, &state.board, local); }, context));
    out.push_back({std::move(brought.image_id), names});
  }
  return out;
}

base::Result<std::vector<Reference>> Puller::Candidates(std::string_view text) const {
  if (const auto& files = state_->options.registry.files) return files->Candidates(text);
  ASSIGN_OR_RETURN(Reference reference, Reference::Parse(text));
  return std::vector{std::move(reference)};
}

base::Result<PullResult> Puller::PullName(std::string_view text, const AuthConfig& auth, const base::Context& context) {
  const bool id = (text.starts_with("sha256:") && IsIdOrPrefix(text)) || (text.size() == 64 && base::IsHex(text));
  if (id) {
    ASSIGN_OR_RETURN(const ImagePtr present, state_->options.store->Find(text));
    if (present == nullptr)
      return base::Fail(Code::kNotFound, "image ", text, " is not here, and an id alone cannot be pulled");
    ASSIGN_OR_RETURN(Digest digest, Digest::Parse(present->id));
    return PullResult{std::move(digest), present->manifest_digest};
  }
  ASSIGN_OR_RETURN(const std::vector<Reference> candidates, Candidates(text));
  std::optional<base::Error> last;
  for (const Reference& reference : candidates) {
    const bool theirs = candidates.size() == 1 || !auth.server_address.empty() || reference.domain == "docker.io";
    auto pulled = Pull(reference, theirs ? auth : AuthConfig(), context);
    const bool ended =
        !pulled && (pulled.error().code == Code::kCancelled || pulled.error().code == Code::kDeadlineExceeded);
    if (pulled || ended || candidates.size() == 1) return pulled;
    if (last) pulled.error().message += base::Cat("; before that ", last->message);
    last = std::move(pulled).error();
  }
  return tl::make_unexpected(*std::move(last));
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
