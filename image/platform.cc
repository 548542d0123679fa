#include "image/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "image/manifest.h"
#include "image/media_type.h"

namespace berth::image {
namespace {

// The platform that BuildKit gives to attestations, which are stored as if they were images.
constexpr std::string_view kUnknownPlatform = "unknown";
constexpr std::string_view kAttestationAnnotation = "vnd.docker.reference.type";
constexpr size_t kMaxCandidates = 16;

#if defined(__x86_64__)
// x86-64 psABI, "micro-architecture levels".
std::string Amd64Level() {
  __builtin_cpu_init();
  const bool v2 =
      __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? "v4" : v3 ? "v3" : v2 ? "v2" : "";
}
#else
std::string Amd64Level() {
  return "";
}
#endif

Platform Linux(std::string_view architecture, std::string variant = {}) {
  Platform platform;
  platform.os = "linux";
  platform.architecture = architecture;
  platform.variant = std::move(variant);
  return platform;
}

// The number after "v", or after "v<major>." when there is one.
int Number(std::string_view text) {
  return static_cast<int>(std::min<int64_t>(base::ParseInt(text).value_or(0), 99));
}

std::vector<Platform> Amd64Order(std::string_view variant) {
  std::vector<Platform> out;
  for (int level = std::min(variant.empty() ? 1 : Number(variant.substr(1)), 4); level >= 2; --level) {
    out.push_back(Linux("amd64", base::Cat("v", level)));
  }
  out.push_back(Linux("amd64"));
  out.push_back(Linux("386"));
  return out;
}

std::vector<Platform> ArmOrder(int highest) {
  std::vector<Platform> out;
  for (int version = highest; version >= 5; --version) out.push_back(Linux("arm", base::Cat("v", version)));
  return out;
}

std::vector<Platform> Arm64Order(std::string_view variant) {
  std::vector<Platform> out;
  int minor = 0;
  if (const size_t dot = variant.find('.'); dot != std::string_view::npos) minor = Number(variant.substr(dot + 1));
  if (variant.starts_with("v9")) {
    for (int m = minor; m >= 1; --m) out.push_back(Linux("arm64", base::Cat("v9.", m)));
    out.push_back(Linux("arm64", "v9"));
    minor += 5;  // Armv9.n is built on Armv8.(n+5)
  }
  for (int m = minor; m >= 1; --m) out.push_back(Linux("arm64", base::Cat("v8.", m)));
  out.push_back(Linux("arm64"));
  std::ranges::copy(ArmOrder(8), std::back_inserter(out));
  return out;
}

bool IsAttestation(const Descriptor& entry) {
  return entry.annotations.contains(std::string(kAttestationAnnotation)) ||
         (entry.platform && entry.platform->os == kUnknownPlatform && entry.platform->architecture == kUnknownPlatform);
}

bool MayBeImage(const Descriptor& entry) {
  const DocumentKind kind = KindOf(entry.media_type);
  if (kind != DocumentKind::kIndex && kind != DocumentKind::kManifest) return false;
  return !IsAttestation(entry) && (entry.artifact_type.empty() || IsImageConfig(entry.artifact_type));
}

}  // namespace

std::string Platform::Text() const {
  std::string out = base::Cat(os, "/", architecture);
  if (!variant.empty()) out = base::Cat(out, "/", variant);
  return out;
}

Platform Normalize(Platform platform) {
  platform.os = base::Lower(platform.os);
  if (platform.os.empty()) platform.os = "linux";
  if (platform.os == "macos") platform.os = "darwin";
  std::string& arch = platform.architecture;
  std::string& variant = platform.variant;
  arch = base::Lower(arch);
  variant = base::Lower(variant);
  if (arch == "x86_64" || arch == "x86-64" || arch == "amd64") {
    arch = "amd64";
    if (variant == "v1") variant.clear();
  } else if (arch == "i386") {
    arch = "386";
    variant.clear();
  } else if (arch == "aarch64" || arch == "arm64") {
    arch = "arm64";
    if (variant == "8" || variant == "v8" || variant == "v8.0") variant.clear();
    if (variant == "9" || variant == "9.0" || variant == "v9.0") variant = "v9";
  } else if (arch == "armhf") {
    arch = "arm";
    variant = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    variant = "v6";
  } else if (arch == "arm") {
    if (variant.empty() || variant == "7") variant = "v7";
    if (variant == "5" || variant == "6" || variant == "8") variant.insert(0, "v");
  }
  return platform;
}

Platform HostPlatform() {
  utsname name{};
  uname(&name);
  const std::string machine = name.machine;
  static const std::map<std::string, std::string> kNames = {
      {"x86_64", "amd64"},    {"aarch64", "arm64"},       {"i686", "386"},
      {"i586", "386"},        {"ppc64le", "ppc64le"},     {"s390x", "s390x"},
      {"riscv64", "riscv64"}, {"loongarch64", "loong64"}, {"mips64", "mips64le"}};
  if (machine.starts_with("armv")) return Normalize(Linux("arm", base::Cat("v", machine.substr(4, 1))));
  const auto known = kNames.find(machine);
  Platform host = Linux(known == kNames.end() ? machine : known->second);
  if (host.architecture == "amd64") host.variant = Amd64Level();
  return host;
}

std::vector<Platform> Acceptable(const Platform& given) {
  const Platform host = Normalize(given);
  std::vector<Platform> out;
  if (host.architecture == "amd64") {
    out = Amd64Order(host.variant);
  } else if (host.architecture == "arm64") {
    out = Arm64Order(host.variant);
  } else if (host.architecture == "arm") {
    out = ArmOrder(std::clamp(Number(host.variant.substr(1)), 5, 8));
  } else {
    out = {host};
  }
  for (Platform& platform : out) {
    platform.os = host.os;
    platform.os_version = host.os_version;
    platform.os_features = host.os_features;
  }
  return out;
}

int Rank(const Platform& given, const std::vector<Platform>& acceptable) {
  const Platform candidate = Normalize(given);
  for (size_t i = 0; i < acceptable.size(); ++i) {
    const Platform& host = acceptable[i];
    const bool features = std::ranges::all_of(candidate.os_features, [&](const std::string& feature) {
      return std::ranges::find(host.os_features, feature) != host.os_features.end();
    });
    if (candidate.os == host.os && candidate.architecture == host.architecture && candidate.variant == host.variant &&
        features) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

std::vector<size_t> Candidates(const std::vector<Descriptor>& entries, const Platform& host) {
  const std::vector<Platform> acceptable = Acceptable(host);
  std::vector<std::pair<int, size_t>> ranked;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!MayBeImage(entries[i])) continue;
    const bool unnamed = !entries[i].platform || entries[i].platform->architecture.empty();
    const int rank = unnamed ? static_cast<int>(acceptable.size()) : Rank(*entries[i].platform, acceptable);
    if (rank >= 0) ranked.emplace_back(rank, i);
  }
  std::ranges::sort(ranked);
  if (ranked.size() > kMaxCandidates) ranked.resize(kMaxCandidates);
  std::vector<size_t> out;
  for (const auto& [rank, i] : ranked) out.push_back(i);
  return out;
}

}  // namespace berth::image
