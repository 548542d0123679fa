// Layers that are unpacked side by side come out as they do one after the other: every byte, owner, time and attribute.
#include <atomic>
#include <random>

#include <gtest/gtest.h>

#include "fake_registry.h"
#include "image/pull.h"
#include "image/store.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

// Archives that replace, remove, hide and link across each other what came before, always in ways that are allowed.
class LayerMaker {
 public:
  explicit LayerMaker(unsigned seed) : random_(seed) {}

  std::string Next(int entries) {
    items_.clear();
    touched_.clear();
    for (int i = 0; i < entries; ++i) Add();
    return Tar(items_);
  }

 private:
  unsigned Below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  std::string Pick(char type) {
    std::vector<std::string> found;
    for (const auto& [path, kind] : merged_) {
      if (kind == type) found.push_back(path);
    }
    return found.empty() ? "" : found[Below(static_cast<unsigned>(found.size()))];
  }
  std::string NewPath() {
    const std::string parent = Below(4) == 0 ? "" : Pick('5');
    return base::Cat(parent, parent.empty() ? "" : "/", "n", Below(60));
  }
  bool TouchedBelow(const std::string& path) const {
    const auto at = touched_.lower_bound(path);
    return at != touched_.end() && (at->first == path || at->first.starts_with(path + "/"));
  }
  void Forget(const std::string& path, bool itself) {
    std::erase_if(merged_, [&](const auto& entry) {
      return (itself && entry.first == path) || entry.first.starts_with(path + "/");
    });
  }
  void Put(TarItem item) {
    item.uid = Below(3) * 1000;
    item.gid = Below(2) * 70'000;
    item.mtime = 1'000'000'000 + Below(1'000'000);
    if (item.type != '2') item.mode = (item.type == '5' ? 0700 : 0400) | Below(0400) | (Below(10) == 0 ? 04000 : 0);
    if (item.type == '0' || item.type == '5') {
      for (unsigned i = Below(3); i > 0; --i) {
        item.pax.emplace_back(base::Cat("SCHILY.xattr.user.a", i), Noise(Below(200) + 1, Below(1000)));
      }
      if (Below(20) == 0) item.pax.emplace_back("SCHILY.xattr.trusted.overlay.opaque", "y");  // dropped
    }
    if (item.type != '5') Forget(item.name, true);
    merged_[item.name] = item.type == '1' ? '0' : item.type;
    touched_[item.name] = true;
    items_.push_back(std::move(item));
  }

  void Add() {
    const unsigned what = Below(100);
    const std::string path = NewPath();
    // A folder that would go takes others' link targets with it; replacing it is another test's.
    const bool folder = merged_.contains(path) && merged_[path] == '5';
    if (what < 30) {
      if (!merged_.contains(path) || folder) Put(Folder(path));
    } else if (what < 62) {
      if (!folder) Put(File(path, Noise(Below(10) == 0 ? Below(300'000) : Below(3000), Below(1000))));
    } else if (what < 70) {
      if (!folder) Put(Symlink(path, base::Cat("../n", Below(60))));
    } else if (what < 74) {
      if (!folder) Put({.name = path, .type = Below(2) == 0 ? '6' : '3', .major = 1, .minor = 3});
    } else if (what < 88) {
      const std::string target = Pick('0');
      if (folder || target.empty() || target == path) return;
      touched_[target] = true;
      Put(HardLink(path, target));
    } else {
      Hide(what < 96);
    }
  }

  void Hide(bool whiteout) {
    const std::string path = Below(3) == 0 ? Pick('5') : Pick('0');
    if (path.empty() || TouchedBelow(path)) return;
    if (whiteout) {
      const size_t slash = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
      items_.push_back(File(base::Cat(path.substr(0, slash), ".wh.", path.substr(slash)), ""));
      Forget(path, true);
    } else if (merged_[path] == '5') {
      Put(Folder(path));
      items_.push_back(File(path + "/.wh..wh..opq", ""));
      Forget(path, false);
    }
    touched_[path] = true;
  }

  std::mt19937 random_;
  std::map<std::string, char> merged_;   // path, type: what the layers so far show
  std::map<std::string, bool> touched_;  // in this layer
  std::vector<TarItem> items_;
};

class ParallelUnpack : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ParallelUnpack, testing::Range(1u, 4u));

TEST_P(ParallelUnpack, EqualsSerialUnpack) {
  if (geteuid() != 0) GTEST_SKIP() << "owners and devices need root";
  LayerMaker maker(GetParam());
  std::vector<std::string> tars;
  for (int i = 0; i < 8; ++i) tars.push_back(maker.Next(200));
  fake::FakeRegistry registry;
  const fake::FakeImage image = fake::MakeImage(tars);
  fake::Push(registry, "app", "1", image);
  // The lowest layers come last, so that what is above must wait for them.
  std::atomic<int> asked = 0;
  registry.SetHook([&](const fake::FakeRequest& request) -> std::optional<fake::FakeAnswer> {
    const bool lowest = request.path.ends_with(Sha256::Of(image.layers[0]).str());
    if (lowest && asked++ == 0) return fake::FakeAnswer{.body = image.layers[0], .cut_after = 100};
    return std::nullopt;
  });

  std::vector<std::map<std::string, std::string>> seen[2];
  const size_t threads[2] = {1, 8};
  for (int way = 0; way < 2; ++way) {
    asked = way == 0 ? 1 : 0;
    const TempFolder temp;
    auto store = Store::Open({.folder = temp.path() / "images"});
    ASSERT_TRUE(store) << store.error().Text();
    Puller::Options options;
    options.store = store->get();
    options.parallel_layers = threads[way];
    options.registry.first_delay = std::chrono::milliseconds(100);
    Puller puller(options);
    const auto pulled = puller.Pull(*Reference::Parse(registry.host() + "/app:1"), {}, {});
    ASSERT_TRUE(pulled) << pulled.error().Text();
    const auto found = (*store)->Find(registry.host() + "/app:1");
    ASSERT_TRUE(found && *found != nullptr);
    for (const Digest& chain_id : (*found)->chain_ids) seen[way].push_back(Describe(*(*store)->LayerFolder(chain_id)));
  }
  ASSERT_EQ(seen[0].size(), tars.size());
  for (size_t i = 0; i < tars.size(); ++i) {
    EXPECT_EQ(seen[0][i].size(), seen[1][i].size()) << "layer " << i;
    for (const auto& [path, text] : seen[0][i]) EXPECT_TRUE(seen[1][i][path] == text) << "layer " << i << ": " << path;
  }
}

}  // namespace
}  // namespace berth::image
