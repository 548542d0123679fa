// Keeps the folders apart: reads every #include line of ours.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

namespace {

using Folders = std::set<std::string>;

// A folder may include itself, what it names here, and what that may include.
const std::map<std::string, Folders>& Allowed() {
  static const std::map<std::string, Folders> kAllowed = {
      {"base", {}},
      {"json", {"base"}},
      {"cri-proto", {}},
      {"kernel", {"base"}},
      {"state", {"base", "json"}},
      {"config", {"base"}},
      {"spdy", {"base"}},
      {"oci", {"base", "json"}},
      {"conmon", {"base"}},
      {"image", {"kernel", "state", "json"}},
      {"network", {"kernel", "state", "json"}},
      {"container", {"image", "oci", "conmon", "kernel", "state", "cri-proto", "json"}},
      {"sandbox", {"container", "network"}},
      {"server", {"sandbox", "config", "spdy"}},
      {"cli", {"cri-proto", "base", "json", "spdy"}},
  };
  return kAllowed;
}

void Close(const std::string& folder, Folders& out) {
  if (!out.insert(folder).second) return;
  for (const std::string& next : Allowed().at(folder)) Close(next, out);
}

template <typename Visit>
void EachInclude(const std::string& folder, Visit visit) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(std::filesystem::path(BERTH_SOURCE) / folder)) {
    const auto extension = file.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    std::ifstream in(file.path());
    std::string line;
    while (std::getline(in, line)) {
      if (line.starts_with("#include ")) visit(file.path().filename().string(), line.substr(9));
    }
  }
}

TEST(Layers, FoldersIncludeOnlyWhatStandsBelowThem) {
  size_t seen = 0;
  for (const auto& [folder, below] : Allowed()) {
    Folders allowed;
    Close(folder, allowed);
    EachInclude(folder, [&, name = folder](const std::string& file, const std::string& what) {
      if (!what.starts_with('"')) return;
      ++seen;
      const std::string target = what.substr(1, what.find('/') - 1);
      EXPECT_TRUE(allowed.contains(target)) << name << "/" << file << " includes " << what;
    });
  }
  EXPECT_GT(seen, 300u);  // it did read the sources
}

TEST(Layers, StatisticsStandOnTheKernelAlone) {
  EachInclude("server/stats", [](const std::string& file, const std::string& what) {
    if (!what.starts_with('"')) return;
    const bool allowed =
        what.starts_with("\"server/stats/") || what.starts_with("\"kernel/") || what.starts_with("\"base/");
    EXPECT_TRUE(allowed) << file << " includes " << what;
  });
}

TEST(Layers, GrpcIsKnownToServerAndClientAlone) {
  for (const auto& [folder, below] : Allowed()) {
    if (folder == "server" || folder == "cli") continue;
    EachInclude(folder, [&, name = folder](const std::string& file, const std::string& what) {
      EXPECT_EQ(what.find("grpc"), std::string::npos) << name << "/" << file;
    });
  }
}

TEST(Layers, JsonAndYamlStayOutOfHeaders) {
  for (const auto& [folder, below] : Allowed()) {
    EachInclude(folder, [&, name = folder](const std::string& file, const std::string& what) {
      if (!file.ends_with(".h")) return;
      EXPECT_EQ(what.find("nlohmann/json.hpp"), std::string::npos) << name << "/" << file;
      EXPECT_EQ(what.find("yaml-cpp"), std::string::npos) << name << "/" << file;
    });
  }
}

TEST(Layers, MonitorKnowsNeitherJsonNorBoost) {
  EachInclude("conmon", [&](const std::string& file, const std::string& what) {
    EXPECT_EQ(what.find("boost"), std::string::npos) << file;
    EXPECT_EQ(what.find("nlohmann"), std::string::npos) << file;
  });
}

}  // namespace
