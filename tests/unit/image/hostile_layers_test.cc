// Images made to hurt, of one layer or several: each is refused or does nothing outside its own layer, and a canary
// beside the store tells. What each must come to in detail is said by layer_unpacker_test and store_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "image/layer_xattr.h"
#include "image/store.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

enum class Verdict { kRefused, kContained };

struct Attack {
  const char* name;
  std::vector<std::string> layers;  // archives, lowest first
  Verdict verdict;
};
void PrintTo(const Attack& attack, std::ostream* out) {
  *out << attack.name;
}

TarItem Device(const std::string& name, char type, unsigned major, unsigned minor) {
  return {.name = name, .type = type, .major = major, .minor = minor};
}
TarItem WithXattr(TarItem item, const std::string& name, const std::string& value) {
  item.pax.emplace_back("SCHILY.xattr." + name, value);
  return item;
}
// A header whose size field is base-256 and says `size`.
std::string HugeFile(uint64_t size) {
  std::string header = TarHeader({.name = "huge"}, 0);
  header[124] = static_cast<char>(0x80);
  for (int i = 0; i < 8; ++i) header[static_cast<size_t>(135 - i)] = static_cast<char>(size >> (8 * i));
  for (size_t i = 125; i < 128; ++i) header[i] = 0;
  SealHeader(header);
  return header + std::string(4096, 'x');
}
std::string Deep(size_t levels) {
  std::string name;
  for (size_t i = 0; i < levels; ++i) name += "d/";
  return name + "f";
}
std::vector<TarItem> Many(size_t count) {
  std::vector<TarItem> out;
  for (size_t i = 0; i < count; ++i) out.push_back(File(base::Cat("f", i), ""));
  return out;
}

std::vector<Attack> Attacks() {
  using enum Verdict;
  const std::string canary = "../../../../outside/canary";
  return {
      {"DotDot", {Tar({File("../outside/canary")})}, kRefused},
      {"DotDotInTheMiddle", {Tar({File("a/../../outside/canary")})}, kRefused},
      {"AbsoluteName", {Tar({File("/outside/canary")})}, kContained},
      {"SlashesAndDots", {Tar({File("//./..//outside/canary")})}, kRefused},
      {"PaxNameClimbs", {Tar({WithName(File("ok"), "../../outside/canary")})}, kRefused},
      {"AbsoluteSymlinkAsParent", {Tar({Symlink("l", "/outside"), File("l/canary")})}, kContained},
      {"ClimbingSymlinkAsParent", {Tar({Symlink("l", "../../../../outside"), File("l/canary")})}, kContained},
      {"SymlinkToSymlinkAsParent",
       {Tar({Symlink("a", "../../../.."), Symlink("b", "a/outside"), File("b/canary")})},
       kContained},
      {"FileThroughFinalSymlink", {Tar({Symlink("l", canary), File("l", "changed")})}, kContained},
      {"FolderOverSymlink", {Tar({Symlink("l", "../../../../outside"), Folder("l", 0777)})}, kContained},
      {"SymlinkOfALowerLayerAsParent",
       {Tar({Symlink("l", "../../../../outside")}), Tar({File("l/canary", "changed")})},
       kContained},
      {"AbsoluteSymlinkOfALowerLayerAsParent",
       {Tar({Symlink("l", "/")}), Tar({File("l/outside/canary", "changed")})},
       kContained},
      {"WhiteoutThroughLowerSymlink",
       {Tar({Symlink("l", "../../../../outside")}), Tar({File("l/.wh.canary", "")})},
       kContained},
      {"OpaqueThroughSymlink", {Tar({Symlink("l", "../../../../outside"), File("l/.wh..wh..opq", "")})}, kContained},
      {"HardLinkOutside", {Tar({HardLink("l", "../../../../outside/canary")})}, kRefused},
      {"HardLinkAbsolute", {Tar({HardLink("l", "/outside/canary")})}, kRefused},
      {"HardLinkThroughSymlinkReplaced",
       {Tar({Symlink("d", "../../../../outside"), HardLink("l", "d/canary"), File("l", "changed")})},
       kContained},
      {"HardLinkThroughSymlink", {Tar({Symlink("d", "../../../../outside"), HardLink("l", "d/canary")})}, kRefused},
      {"HardLinkToLowerSymlinkThenWrite",
       {Tar({Symlink("s", canary)}), Tar({HardLink("l", "s"), File("l", "changed")})},
       kContained},
      {"HardLinkThroughLowerSymlink",
       {Tar({Symlink("d", "../../../../outside")}), Tar({HardLink("l", "d/canary")})},
       kRefused},
      {"HardLinkToItself", {Tar({HardLink("l", "l")})}, kRefused},
      {"HardLinksInACircle", {Tar({HardLink("a", "b"), HardLink("b", "a")})}, kRefused},
      {"WhiteoutOfDotDot", {Tar({File(".wh...", "")})}, kRefused},
      {"WhiteoutOfDot", {Tar({File(".wh..", "")})}, kRefused},
      {"WhiteoutOfNothing", {Tar({File(".wh.", "")})}, kRefused},
      {"WhiteoutAsFolder", {Tar({File(".wh.x/y")})}, kRefused},
      {"WhiteoutDevice", {Tar({Device("w", '3', 0, 0)})}, kRefused},
      {"OverlayRedirect", {Tar({WithXattr(Folder("d"), "trusted.overlay.redirect", "/outside")})}, kContained},
      {"OverlayMetacopy", {Tar({WithXattr(File("f"), "trusted.overlay.metacopy", "")})}, kContained},
      {"OverlayOpaqueByAttribute", {Tar({WithXattr(Folder("d"), "user.overlay.opaque", "y")})}, kContained},
      {"FileBelowAFile", {Tar({File("f"), File("f/x")})}, kRefused},
      {"FifoWrittenTo", {Tar({{.name = "p", .type = '6'}, File("p", "text")})}, kContained},
      {"FileOverTheRoot", {Tar({File("./", "x")})}, kRefused},
      {"SymlinkOverTheRoot", {Tar({Symlink("/", "/outside")})}, kRefused},
      {"UnknownType", {Tar({{.name = "x", .type = 'Z'}})}, kRefused},
      {"SizeOfAnExabyte", {HugeFile(uint64_t{1} << 60)}, kRefused},
      {"NegativeSize", {HugeFile(~uint64_t{0})}, kRefused},
      {"LongComponent", {Tar({WithName(File("x"), std::string(300, 'a'))})}, kRefused},
      {"LongName", {Tar({WithName(File("x"), Deep(3000))})}, kRefused},
      {"DeepFolders", {Tar({WithName(File("x"), Deep(1500))})}, kRefused},
      {"SymlinksInACircle", {Tar({Symlink("a", "b"), Symlink("b", "a"), File("a/x")})}, kRefused},
      {"TooManyEntries", {Tar(Many(300))}, kRefused},
      {"GzipBomb", {Gzip(Tar({File("zeros", std::string(16 << 20, '\0'))}))}, kRefused},
      {"ZstdBomb", {Zstd(Tar({File("zeros", std::string(16 << 20, '\0'))}))}, kRefused},
      {"ManyHardLinksBelow",
       {Tar({File("f")}), Tar([] {
          std::vector<TarItem> out;
          for (int i = 0; i < 250; ++i) out.push_back(HardLink(base::Cat(std::string(90, 'l'), i), "f"));
          return out;
        }())},
       kRefused},
  };
}

class HostileLayers : public testing::TestWithParam<Attack> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted attributes need root";
    if (!SetOpaque(temp_.path().native()))
      GTEST_SKIP() << "the temporary folder's file system takes no trusted attributes";
    ASSERT_TRUE(base::MakeDirs(temp_.path() / "outside"));
    ASSERT_TRUE(base::WriteFile(temp_.path() / "outside/canary", "alive"));
    LayerLimits limits;
    limits.entries = 200;
    limits.note_bytes = 16 << 10;
    limits.decompress.output_limit = 8 << 20;
    auto store = Store::Open({.folder = temp_.path() / "images", .limits = limits});
    ASSERT_TRUE(store) << store.error().Text();
    store_ = *std::move(store);
    store_->Collect();
  }
  base::Status Apply(const std::vector<std::string>& archives, std::vector<LayerPin>& pins) {
    std::vector<Digest> parents;
    for (const std::string& archive : archives) {
      ASSIGN_OR_RETURN(auto unpacker, store_->BeginLayer());
      // Small pieces: what is bad is met in the middle of something.
      for (size_t at = 0; at < archive.size(); at += 10'007)
        RETURN_IF_ERROR(unpacker->Write(Bytes(std::string_view(archive).substr(at, 10'007))));
      ASSIGN_OR_RETURN(UnpackedLayer layer, unpacker->Finish({}));
      const Digest chain_id = ChainId(parents.empty() ? Digest() : parents.back(), layer.diff_id);
      ASSIGN_OR_RETURN(LayerPin pin, store_->CommitLayer(std::move(layer), chain_id, parents, {}));
      pins.push_back(std::move(pin));
      parents.push_back(chain_id);
    }
    return {};
  }
  TempFolder temp_;
  std::unique_ptr<Store> store_;
};

TEST_P(HostileLayers, TouchNothingOutside) {
  const auto before = Describe(temp_.path() / "outside");
  {
    std::vector<LayerPin> pins;
    const base::Status applied = Apply(GetParam().layers, pins);
    EXPECT_EQ(applied.has_value(), GetParam().verdict == Verdict::kContained)
        << (applied ? "taken" : applied.error().Text());
    for (const LayerPin& pin : pins) {
      for (const auto& [path, what] : Describe(*store_->LayerFolder(pin.chain_id()))) {
        EXPECT_EQ(what.find("overlay.redirect"), std::string::npos) << path;
        EXPECT_EQ(what.find("overlay.metacopy"), std::string::npos) << path;
      }
    }
  }
  EXPECT_EQ(Describe(temp_.path() / "outside"), before);
  EXPECT_THAT(base::ListFolder(temp_.path()).value(), testing::UnorderedElementsAre("images", "outside"));
  EXPECT_THAT(base::ListFolder(temp_.path() / "images/tmp").value(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Attacks, HostileLayers, testing::ValuesIn(Attacks()),
                         [](const auto& attack) { return std::string(attack.param.name); });

}  // namespace
}  // namespace berth::image
