#include "image/registry.h"

#include <algorithm>

#include "base/strings.h"
#include "image/endpoint.h"
#include "image/media_type.h"
#include "image/registry_answer.h"
#include "image/transfer.h"

namespace berth::image {
namespace {

using base::Code;
using base::Context;
// A transfer that brought this much before it broke is getting on: its tries count afresh.
constexpr int64_t kProgressBytes = 64 << 10;

enum class Ask { kTag, kContent };

// Ends that no other endpoint could change.
bool IsFinal(const base::Error& error) {
  return error.code == Code::kCancelled || error.code == Code::kDeadlineExceeded;
}

}  // namespace

struct RegistryClient::State {
  State(const RegistryOptions& given, Reference named, TokenCache* cache)
      : options(given), reference(std::move(named)), http(given.http), tokens(cache) {}

  const RegistryOptions options;
  const Reference reference;
  HttpClient http;
  TokenCache* const tokens;
  std::vector<std::unique_ptr<Endpoint>> endpoints;  // in the order of asking; the registry itself last

  void AddEndpoint(Endpoint::Options endpoint) {
    endpoint.source = options.credentials;
    endpoints.push_back(std::make_unique<Endpoint>(std::move(endpoint), &http, tokens));
  }

  void AddMirror(const MirrorConfig& mirror) {
    std::string url = mirror.url;
    if (url.find("://") == std::string::npos) url.insert(0, "https://");
    while (url.ends_with('/')) url.pop_back();
    const std::string host = url.substr(url.find("://") + 3);
    AddEndpoint({.url = url,
                 .path = reference.path,
                 .ns = reference.domain,
                 .insecure = mirror.insecure,
                 .tags = mirror.tags,
                 .attempts = options.mirror_attempts,
                 .credential_host = host.substr(0, host.find('/'))});
  }

  // Plain HTTP for loopback, unless the administrator laid certificates down for it; for insecure registries after TLS
  // failed.
  void AddRegistry(const std::string& host, const std::string& path, bool insecure, Endpoint::Options common) {
    const auto add = [&](std::string_view scheme, int attempts, bool fallback = false) {
      Endpoint::Options endpoint = common;
      endpoint.url = base::Cat(scheme, "://", host);
      endpoint.path = path;
      endpoint.insecure = insecure;
      endpoint.fallback = fallback;
      endpoint.attempts = attempts;
      AddEndpoint(std::move(endpoint));
    };
    const auto origin = Origin::Parse(base::Cat("http://", host));
    const bool certificates = std::ranges::any_of(
        options.http.certificate_folders, [&](const base::Path& folder) { return base::Exists(folder / host); });
    const bool loopback = origin && origin->loopback();
    if (loopback && !certificates) return add("http", common.attempts);
    if (!insecure) return add("https", common.attempts);
    add("https", 1);
    add("http", common.attempts, /*fallback=*/true);
  }

  // The caller's credentials go to the registry itself, wherever the administrator says that it is, and to no mirror.
  void AddPlace(const Place& place, const Credentials& credentials) {
    Endpoint::Options endpoint;
    endpoint.attempts = place.mirror ? options.mirror_attempts : options.attempts;
    endpoint.ns = place.ns;
    endpoint.tags = place.resolve;
    endpoint.content = place.pull;
    endpoint.settings = place.settings;
    if (!place.mirror) endpoint.credentials = credentials;
    const size_t scheme = place.url.find("://");
    const std::string host = scheme == std::string::npos ? place.url : place.url.substr(scheme + 3);
    endpoint.credential_host = host.substr(0, host.find('/'));
    if (!place.mirror && endpoint.credential_host == reference.WireHost()) endpoint.credential_host = reference.domain;
    if (scheme == std::string::npos) return AddRegistry(place.url, place.path, place.insecure, std::move(endpoint));
    endpoint.url = place.url;
    endpoint.whole = place.whole;
    endpoint.path = place.path;
    endpoint.insecure = place.insecure;
    AddEndpoint(std::move(endpoint));
  }

  // Asks until there is an answer that another try would not change.
  base::Result<HttpResponse> Request(Endpoint& endpoint, const HttpRequest& request, const Context& context) {
    for (int attempt = 1;; ++attempt) {
      auto response = endpoint.Do(request, context);
      if (response && !IsTransient(response->status)) return response;
      if (!response && response.error().code != Code::kUnavailable) return response;
      if (attempt >= endpoint.options().attempts) {
        if (!response) return response;
        return tl::make_unexpected(ErrorOf(*response));
      }
      RETURN_IF_ERROR(
          BackOff(options, attempt, response ? RetryAfter(*response) : std::chrono::milliseconds(0), context));
    }
  }

  // Runs fn(endpoint) at one endpoint after the other until it succeeds. The error is the last endpoint's, which is the
  // registry's own, with those of the mirrors behind it.
  template <typename Fn>
  auto Each(Ask what, Fn fn) -> decltype(fn(*endpoints.front())) {
    std::optional<base::Error> last;
    std::string others;
    for (size_t i = 0; i < endpoints.size(); ++i) {
      Endpoint& endpoint = *endpoints[i];
      const bool skip = !endpoint.usable() ||
                        !(what == Ask::kTag ? endpoint.options().tags : endpoint.options().content) ||
                        (endpoint.options().fallback && !endpoints[i - 1]->down());
      if (skip) continue;
      auto result = fn(endpoint);
      if (result || IsFinal(result.error())) return result;
      if (last) others += base::Cat("; before that ", last->message);
      last = std::move(result).error();
      if (last->code == Code::kUnavailable && i + 1 < endpoints.size()) endpoint.SetDown();
    }
    if (!last) return base::Fail(Code::kInternal, "no endpoint is left that serves what the manifest says");
    last->message += others;
    return tl::make_unexpected(*std::move(last));
  }

  // `name` is a tag or, then verified, the digest.
  base::Result<Resolved> GetDocument(Endpoint& endpoint, const std::string& name, const Digest& digest,
                                     const Context& context) {
    HttpRequest request;
    request.url = endpoint.Url("manifests", name);
    request.headers = {{"Accept", std::string(ManifestAccept())}};
    request.body_limit = kMaxManifestBytes;
    ASSIGN_OR_RETURN(HttpResponse response, Request(endpoint, request, context));
    if (response.status != 200) return tl::make_unexpected(ErrorOf(response));
    Hasher hash(digest.algorithm());
    hash.Update(response.body);
    Digest found = hash.Finish();
    if (!digest.empty() && found != digest) {
      endpoint.Distrust();
      return base::Fail(Code::kUnknown, "manifest ", digest.str(), ": what was served has digest ", found.str());
    }
    std::string media_type = DocumentMediaType(response.body, response.Header("content-type"));
    return Resolved{std::move(found), std::move(media_type), std::move(response.body)};
  }

  // HEAD first: cheap, and not counted by registries that ration pulls.
  base::Result<Resolved> ResolveTag(Endpoint& endpoint, const std::function<bool(const Digest&)>& known,
                                    const Context& context) {
    HttpRequest request;
    request.method = "HEAD";
    request.url = endpoint.Url("manifests", reference.tag);
    request.headers = {{"Accept", std::string(ManifestAccept())}};
    ASSIGN_OR_RETURN(const HttpResponse head, Request(endpoint, request, context));
    if (head.status == 401 || head.status == 403 || head.status == 404) return tl::make_unexpected(ErrorOf(head));
    const auto digest = Digest::Parse(head.Header("docker-content-digest"));
    if (!endpoint.options().content) {
      // It knows what tags mean and has no content: that is for another to give.
      if (head.status != 200 || !digest)
        return base::Fail(Code::kNotFound, ShownUrl(head.url), ": does not say what the tag means");
      if (known && known(*digest)) return Resolved{*digest, Essence(head.Header("content-type")), {}};
      return Each(Ask::kContent, [&](Endpoint& other) { return GetDocument(other, digest->str(), *digest, context); });
    }
    if (head.status != 200 || !digest) return GetDocument(endpoint, reference.tag, {}, context);
    if (known && known(*digest)) return Resolved{*digest, Essence(head.Header("content-type")), {}};
    auto resolved = GetDocument(endpoint, digest->str(), *digest, context);
    // The tag may have moved and the old manifest gone in between.
    if (!resolved && resolved.error().code == Code::kNotFound) return GetDocument(endpoint, reference.tag, {}, context);
    return resolved;
  }

  base::Status FetchFrom(Endpoint& endpoint, const std::string& url, Transfer& transfer, const Context& context) {
    bool use_range = true;
    int attempt = 0;
    while (true) {
      const int64_t before = transfer.done();
      BlobRequest blob(transfer, url, use_range);
      const auto response = endpoint.Do(blob.request(), context);
      base::Status status = Outcome(transfer, response, url);
      if (blob.range_refused() || (response && response->status == 416 && before > 0)) {
        use_range = false;
        status = base::Fail(Code::kUnavailable, ShownUrl(url), ": ranges are not served");
      }
      if (status) return status;
      if (status.error().code == Code::kUnknown && !transfer.sink_failed()) endpoint.Distrust();
      if (transfer.lost() || status.error().code != Code::kUnavailable) return status;
      attempt = transfer.done() - before >= kProgressBytes ? 1 : attempt + 1;
      if (attempt >= endpoint.options().attempts) return status;
      RETURN_IF_ERROR(
          BackOff(options, attempt, response ? RetryAfter(*response) : std::chrono::milliseconds(0), context));
    }
  }

  // What one exchange has come to. kUnavailable: the rest is worth another try.
  static base::Status Outcome(Transfer& transfer, const base::Result<HttpResponse>& response, const std::string& url) {
    if (transfer.lost()) return tl::make_unexpected(response.error());
    const bool answered = response && response->status / 100 == 2;
    const bool broken = !response && response.error().code == Code::kUnavailable;
    if (transfer.complete() && (answered || broken)) return transfer.Verify();
    if (!response) return tl::make_unexpected(response.error());
    if (!answered) return tl::make_unexpected(ErrorOf(*response));
    return base::Fail(Code::kUnavailable, ShownUrl(url), ": the transfer ended early");
  }

  // OCI image specification, descriptor.md: "urls ... a list of URIs from which this object MAY be downloaded".
  base::Status FetchFromUrls(Transfer& transfer, base::Status failure, const Context& context) {
    for (const std::string& url : transfer.descriptor().urls) {
      if (failure || transfer.lost() || IsFinal(failure.error())) break;
      Endpoint elsewhere({.url = url, .attempts = options.mirror_attempts}, &http, tokens);
      failure = FetchFrom(elsewhere, url, transfer, context);
      // kUnknown would say that another start may find another endpoint.
      if (!failure && failure.error().code == Code::kUnknown && !transfer.sink_failed())
        failure.error().code = Code::kInternal;
    }
    return failure;
  }
};

RegistryClient::RegistryClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
RegistryClient::~RegistryClient() = default;

base::Result<std::unique_ptr<RegistryClient>> RegistryClient::Make(const RegistryOptions& options,
                                                                   const Reference& reference, const AuthConfig& auth,
                                                                   TokenCache* tokens) {
  ASSIGN_OR_RETURN(const Credentials credentials, CredentialsFor(auth, reference.domain));
  auto state = std::make_unique<State>(options, reference, tokens);
  const auto found = options.registries.find(reference.domain);
  if (found == options.registries.end() && options.files) {
    ASSIGN_OR_RETURN(const auto places, options.files->PlacesFor(reference));
    if (places) {
      for (const Place& place : *places) state->AddPlace(place, credentials);
      return std::unique_ptr<RegistryClient>(new RegistryClient(std::move(state)));
    }
  }
  const RegistryConfig config = found == options.registries.end() ? RegistryConfig() : found->second;
  for (const MirrorConfig& mirror : config.mirrors) state->AddMirror(mirror);
  state->AddPlace({.url = reference.WireHost(), .path = reference.path, .insecure = config.insecure, .mirror = false},
                  credentials);
  return std::unique_ptr<RegistryClient>(new RegistryClient(std::move(state)));
}

base::Result<Resolved> RegistryClient::Resolve(const Context& context,
                                               const std::function<bool(const Digest&)>& known) {
  const Reference& reference = state_->reference;
  const bool by_tag = reference.digest.empty();
  auto resolved = state_->Each(by_tag ? Ask::kTag : Ask::kContent, [&](Endpoint& endpoint) {
    return by_tag ? state_->ResolveTag(endpoint, known, context)
                  : state_->GetDocument(endpoint, reference.digest.str(), reference.digest, context);
  });
  RETURN_IF_ERROR(resolved, reference.Full());
  return resolved;
}

base::Result<Resolved> RegistryClient::FetchManifest(const Descriptor& descriptor, const Context& context) {
  if (!descriptor.data.empty()) return Resolved{descriptor.digest, descriptor.media_type, descriptor.data};
  if (descriptor.size > static_cast<int64_t>(kMaxManifestBytes)) {
    return base::Fail(Code::kInvalidArgument, "manifest ", descriptor.digest.str(), ": larger than ", kMaxManifestBytes,
                      " bytes");
  }
  return state_->Each(Ask::kContent, [&](Endpoint& endpoint) -> base::Result<Resolved> {
    ASSIGN_OR_RETURN(Resolved out, state_->GetDocument(endpoint, descriptor.digest.str(), descriptor.digest, context));
    if (static_cast<int64_t>(out.body.size()) == descriptor.size) return out;
    return base::Fail(Code::kUnknown, "manifest ", descriptor.digest.str(), ": ", out.body.size(),
                      " bytes, the index says ", descriptor.size);
  });
}

base::Result<std::string> RegistryClient::FetchSmall(const Descriptor& descriptor, size_t limit,
                                                     const Context& context) {
  if (!descriptor.data.empty()) return descriptor.data;
  if (descriptor.size > static_cast<int64_t>(limit)) {
    return base::Fail(Code::kInvalidArgument, "blob ", descriptor.digest.str(), ": larger than ", limit, " bytes");
  }
  while (true) {
    std::string out;
    const BlobSink sink = [&](std::span<const uint8_t> bytes) {
      out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return base::Status();
    };
    const base::Status fetched = FetchBlob(descriptor, sink, context);
    if (fetched) return out;
    if (fetched.error().code != Code::kUnknown || !TryAgain()) return tl::make_unexpected(fetched.error());
  }
}

base::Status RegistryClient::FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const Context& context) {
  Transfer transfer(descriptor, sink);
  std::optional<base::Error> lost;  // ends the round: no endpoint can add to what the sink has seen
  base::Status fetched = state_->Each(Ask::kContent, [&](Endpoint& endpoint) -> base::Status {
    base::Status status =
        state_->FetchFrom(endpoint, endpoint.Url("blobs", descriptor.digest.str()), transfer, context);
    if (status || !transfer.lost()) return status;
    lost = std::move(status).error();
    return {};
  });
  if (lost) return tl::make_unexpected(*std::move(lost));
  if (!fetched && fetched.error().code == Code::kNotFound) {
    fetched = state_->FetchFromUrls(transfer, std::move(fetched), context);
  }
  return fetched;
}

base::Result<Resolved> RegistryClient::GetNamed(const std::string& name, const Digest& digest, const Context& context) {
  return state_->Each(Ask::kContent,
                      [&](Endpoint& endpoint) { return state_->GetDocument(endpoint, name, digest, context); });
}

base::Result<std::string> RegistryClient::GetReferrers(const Digest& digest, const Context& context) {
  return state_->Each(Ask::kContent, [&](Endpoint& endpoint) -> base::Result<std::string> {
    HttpRequest request;
    request.url = endpoint.Url("referrers", digest.str());
    request.headers = {{"Accept", std::string(kOciIndex)}};
    request.body_limit = kMaxManifestBytes;
    ASSIGN_OR_RETURN(HttpResponse response, state_->Request(endpoint, request, context));
    if (response.status != 200) return tl::make_unexpected(ErrorOf(response));
    return std::move(response.body);
  });
}

bool RegistryClient::TryAgain() const {
  return std::ranges::any_of(state_->endpoints, [](const auto& endpoint) { return endpoint->usable(); });
}

}  // namespace berth::image
