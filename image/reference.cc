#include "image/reference.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::image {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr size_t kMaxText = 1024;
constexpr std::string_view kDockerDomain = "docker.io";
constexpr std::string_view kLibrary = "library/";

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsUpper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool IsAlnum(char c) {
  return IsDigit(c) || IsLower(c) || IsUpper(c);
}

auto Bad(std::string_view text, std::string_view why) {
  return base::Fail(base::Code::kInvalidArgument, "image reference \"", text.substr(0, 300), "\": ", why);
}

bool IsPort(std::string_view text) {
  const auto port = base::ParseInt(text);
  return std::ranges::all_of(text, IsDigit) && port && *port > 0 && *port <= 65535;
}

bool IsHostName(std::string_view text) {
  return std::ranges::all_of(base::Split(text, '.'), [](std::string_view part) {
    return !part.empty() && part.front() != '-' && part.back() != '-' &&
           std::ranges::all_of(part, [](char c) { return IsAlnum(c) || c == '-'; });
  });
}

bool IsDomain(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end < 2) return false;
    const std::string_view address = text.substr(1, end - 1);
    const auto in_address = [](char c) {
      return IsDigit(c) || c == ':' || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    };
    if (!std::ranges::all_of(address, in_address)) return false;
    const std::string_view rest = text.substr(end + 1);
    if (rest.empty()) return true;
    return rest.front() == ':' && IsPort(rest.substr(1));
  }
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  return IsHostName(host) && (!has_port || IsPort(port));
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool IsPathComponent(std::string_view text) {
  size_t i = 0;
  const auto word = [&] {
    const size_t start = i;
    while (i < text.size() && (IsLower(text[i]) || IsDigit(text[i]))) ++i;
    return i > start;
  };
  if (!word()) return false;
  while (i < text.size()) {
    const size_t start = i;
    const char separator = text[i];
    while (i < text.size() && text[i] == separator) ++i;
    const size_t length = i - start;
    const bool allowed = (separator == '.' && length == 1) || (separator == '_' && length <= 2) || separator == '-';
    if (!allowed || !word()) return false;
  }
  return true;
}

bool IsTag(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTag && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

// "The first component is a domain only if it cannot be the first part of a Docker Hub name."
bool LooksLikeDomain(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
         std::ranges::any_of(first, IsUpper);
}

}  // namespace

base::Result<Reference> Reference::Parse(std::string_view text) {
  if (text.empty()) return Bad(text, "empty");
  if (text.size() > kMaxText) return Bad(text, "too long");
  Reference reference;
  std::string_view name = text;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    ASSIGN_OR_RETURN(reference.digest, Digest::Parse(text.substr(at + 1)), "image reference");
    name = text.substr(0, at);
  }
  const size_t last_slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  const bool has_tag = colon != std::string_view::npos && (last_slash == std::string_view::npos || colon > last_slash);
  if (has_tag) {
    reference.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!IsTag(reference.tag)) return Bad(text, "not a valid tag");
  }
  if (name.size() == 64 && base::IsHex(name)) return Bad(text, "64 hex digits are an id, not a name");

  const size_t slash = name.find('/');
  const bool has_domain = slash != std::string_view::npos && LooksLikeDomain(name.substr(0, slash));
  reference.domain = has_domain ? name.substr(0, slash) : kDockerDomain;
  reference.path = has_domain ? name.substr(slash + 1) : name;
  if (reference.domain == "index.docker.io") reference.domain = kDockerDomain;
  if (!IsDomain(reference.domain)) return Bad(text, "not a valid registry host");
  if (std::ranges::any_of(reference.path, IsUpper)) return Bad(text, "the repository's name must be lower-case");
  if (!std::ranges::all_of(base::Split(reference.path, '/'), IsPathComponent)) {
    return Bad(text, "not a valid repository name");
  }
  if (reference.domain == kDockerDomain && reference.path.find('/') == std::string::npos) {
    reference.path.insert(0, kLibrary);
  }
  if (reference.Name().size() > kMaxName) return Bad(text, "the name is longer than 255 characters");
  if (!reference.digest.empty()) {
    reference.tag.clear();
  } else if (!has_tag) {
    reference.tag = "latest";
  }
  return reference;
}

bool Reference::HasDomain(std::string_view text) {
  const std::string_view name = text.substr(0, text.find('@'));
  const size_t slash = name.find('/');
  return slash != std::string_view::npos && LooksLikeDomain(name.substr(0, slash));
}

bool Reference::HasTag(std::string_view text) {
  const std::string_view name = text.substr(0, text.find('@'));
  const size_t colon = name.rfind(':');
  return colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos;
}

std::string Reference::Name() const {
  return base::Cat(domain, "/", path);
}

std::string Reference::Full() const {
  return digest.empty() ? base::Cat(Name(), ":", tag) : base::Cat(Name(), "@", digest.str());
}

std::string Reference::Familiar() const {
  const std::string full = Full();
  if (domain != kDockerDomain) return full;
  // Not every name may be shortened: docker.io/localhost/x is not localhost/x.
  const std::string_view without_domain = std::string_view(full).substr(kDockerDomain.size() + 1);
  if (without_domain.starts_with(kLibrary)) {
    const std::string_view shortest = without_domain.substr(kLibrary.size());
    if (const auto same = Parse(shortest); same && *same == *this) return std::string(shortest);
  }
  if (const auto same = Parse(without_domain); same && *same == *this) return std::string(without_domain);
  return full;
}

std::string Reference::WireHost() const {
  return domain == kDockerDomain ? "registry-1.docker.io" : domain;
}

bool IsIdOrPrefix(std::string_view text) {
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  return text.size() >= 3 && text.size() <= 64 && base::IsHex(text);
}

}  // namespace berth::image
