#include "image/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

struct Seen {
  TarEntry entry;
  std::string content;  // holes as zero bytes
};

class Recorder : public TarSink {
 public:
  base::Status Begin(const TarEntry& entry) override {
    seen.push_back({entry, std::string(entry.size < (1 << 20) ? entry.size : 0, '\0')});
    return {};
  }
  base::Status Data(uint64_t offset, std::span<const uint8_t> bytes) override {
    seen.back().content.replace(offset, bytes.size(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  base::Status End() override { return {}; }
  std::vector<Seen> seen;
};

base::Result<std::vector<Seen>> Read(std::string_view archive, size_t piece = 1 << 20) {
  Recorder recorder;
  TarReader reader(recorder);
  for (size_t at = 0; at < archive.size(); at += piece) RETURN_IF_ERROR(reader.Write(Bytes(archive.substr(at, piece))));
  RETURN_IF_ERROR(reader.Finish());
  return recorder.seen;
}

TarItem WithPax(std::vector<std::pair<std::string, std::string>> pax, TarItem item = File("short")) {
  item.pax = std::move(pax);
  return item;
}

const std::string kEnd(1024, '\0');

TEST(TarReader, EveryPieceSizeGivesTheSame) {
  const std::string archive =
      Tar({Folder("d"), File("d/a", Noise(1000)), File("d/empty", ""), WithPax({{"path", "d/long"}})});
  for (const size_t piece : {1, 3, 511, 512, 513, 5000}) {
    const auto seen = Read(archive, piece).value();
    ASSERT_EQ(seen.size(), 4u);
    EXPECT_EQ(seen[1].content, Noise(1000));
    EXPECT_EQ(seen[3].entry.name, "d/long");
  }
}

TEST(TarReader, GnuLongNameAndLinkAreUsed) {
  const std::string name(300, 'n');
  const std::string link(200, 'l');
  const std::string archive = TarHeader({.name = "././@LongLink", .type = 'L'}, 301) + Padded(name + '\0') +
                              TarHeader({.name = "././@LongLink", .type = 'K'}, 201) + Padded(link + '\0') +
                              TarOf(Symlink("n", "l")) + kEnd;
  const auto seen = Read(archive).value();
  EXPECT_EQ(seen.at(0).entry.name, name);
  EXPECT_EQ(seen.at(0).entry.link, link);
}

TEST(TarReader, UstarPrefixIsPutInFront) {
  std::string header = TarHeader(File("base", ""), 0);
  std::memcpy(header.data() + 345, "some/prefix", 11);
  SealHeader(header);
  EXPECT_EQ(Read(header + kEnd).value().at(0).entry.name, "some/prefix/base");
}

TEST(TarReader, PaxRecordsOverrideTheHeader) {
  const auto seen = Read(Tar({WithPax({{"uid", "70000"},
                                       {"gid", "4294967294"},
                                       {"mtime", "-1.25"},
                                       {"atime", "5.5"},
                                       {"SCHILY.xattr.user.a", std::string("v\0w", 3)},
                                       {"LIBARCHIVE.xattr.user.%62", "aGk"}})}))
                        .value();
  const TarEntry& entry = seen.at(0).entry;
  EXPECT_EQ(entry.uid, 70000u);
  EXPECT_EQ(entry.gid, 4294967294u);
  EXPECT_EQ(entry.mtime.tv_sec, -2);
  EXPECT_EQ(entry.mtime.tv_nsec, 750'000'000);
  EXPECT_EQ(entry.atime->tv_sec, 5);
  EXPECT_THAT(entry.xattrs, testing::ElementsAre(std::pair<std::string, std::string>("user.a", std::string("v\0w", 3)),
                                                 std::pair<std::string, std::string>("user.b", "hi")));
}

TEST(TarReader, PaxRecordsApplyToOneEntryAlone) {
  const auto seen = Read(Tar({WithPax({{"path", "one"}}), File("two")})).value();
  EXPECT_EQ(seen.at(1).entry.name, "two");
}

TEST(TarReader, GlobalHeadersAreSkipped) {
  const std::string records = PaxRecord("path", "evil") + PaxRecord("comment", "git");
  const auto seen =
      Read(TarHeader({.name = "g", .type = 'g'}, records.size()) + Padded(records) + TarOf(File("a")) + kEnd).value();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].entry.name, "a");
}

TEST(TarReader, Base256NumbersAreRead) {
  std::string header = TarHeader(File("big", ""), 0);
  header[108] = static_cast<char>(0x80);
  std::memcpy(header.data() + 109, "\0\0\0\x01\0\0\0", 7);  // uid 2^24
  SealHeader(header);
  EXPECT_EQ(Read(header + kEnd).value().at(0).entry.uid, 1u << 24);
  EXPECT_EQ(Read(Tar({{.name = "old", .mtime = -86400}})).value().at(0).entry.mtime.tv_sec, -86400);
}

TEST(TarReader, LinksAndFoldersHaveNoContentWhateverTheirSizeSays) {
  const auto seen =
      Read(TarHeader(HardLink("a", "b"), 4096) + TarHeader(Folder("d"), 512) + TarOf(File("f")) + kEnd).value();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[2].entry.name, "f");
}

TEST(TarReader, SparseFilesOfAllKindsAreExpanded) {
  const std::string expected = "AA" + std::string(998, '\0') + "BBB" + std::string(21, '\0');
  // PAX 0.0, 0.1 and 1.0.
  TarItem file = File("GNUSparseFile.0/s", "AABBB");
  file.pax = {{"GNU.sparse.size", "1024"},  {"GNU.sparse.numblocks", "2"}, {"GNU.sparse.offset", "0"},
              {"GNU.sparse.numbytes", "2"}, {"GNU.sparse.offset", "1000"}, {"GNU.sparse.numbytes", "3"}};
  EXPECT_EQ(Read(Tar({file})).value().at(0).content, expected);
  file.pax = {{"GNU.sparse.size", "1024"}, {"GNU.sparse.map", "0,2,1000,3"}, {"GNU.sparse.name", "s"}};
  EXPECT_EQ(Read(Tar({file})).value().at(0).content, expected);
  file.pax = {
      {"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.realsize", "1024"}, {"GNU.sparse.name", "s"}};
  file.content = Padded("2\n0\n2\n1000\n3\n") + "AABBB";
  for (const size_t piece : {1, 512, 100'000}) {
    const auto seen = Read(Tar({file, File("next")}), piece).value();
    EXPECT_EQ(seen.at(0).content, expected);
    EXPECT_EQ(seen.at(0).entry.name, "s");
    EXPECT_EQ(seen.at(1).entry.name, "next");
  }
}

TEST(TarReader, OldGnuSparseFilesWithExtensionsAreExpanded) {
  TarItem item = File("s");
  item.type = 'S';
  std::string header = TarHeader(item, 6);
  std::memcpy(header.data() + 257, "ustar  \0", 8);
  for (int i = 0; i < 4; ++i)
    std::snprintf(header.data() + 386 + 24 * i, 24, "%011o", i * 10),
        std::snprintf(header.data() + 398 + 24 * i, 12, "%011o", 1);
  header[482] = 1;
  std::snprintf(header.data() + 483, 12, "%011o", 100);
  SealHeader(header);
  std::string extension(512, '\0');
  std::snprintf(extension.data(), 12, "%011o", 50);
  std::snprintf(extension.data() + 12, 12, "%011o", 2);
  const auto seen = Read(header + extension + Padded("abcdEF") + kEnd).value();
  std::string expected(100, '\0');
  expected[0] = 'a', expected[10] = 'b', expected[20] = 'c', expected[30] = 'd', expected[50] = 'E', expected[51] = 'F';
  EXPECT_EQ(seen.at(0).content, expected);
}

TEST(TarReader, LyingSparseMapsAreRefused) {
  for (const std::string map :
       {"0,2,1,3", "1000,3,0,2", "0,2,1022,3", "0,2", "0,9223372036854775807,5,5", "x,1", "0,-1"}) {
    TarItem file = File("s", "AABBB");
    file.pax = {{"GNU.sparse.size", "1024"}, {"GNU.sparse.map", map}};
    EXPECT_FALSE(Read(Tar({file}))) << map;
  }
}

TEST(TarReader, MalformedHeadersAreRefused) {
  std::string bad_sum = Tar({File("a")});
  bad_sum[0] = 'b';
  EXPECT_FALSE(Read(bad_sum));
  EXPECT_FALSE(Read(Tar({{.name = "z", .type = 'Z'}})));
  EXPECT_FALSE(Read(Tar({WithPax({{"uid", "4294967295"}})})));
  EXPECT_FALSE(Read(Tar({WithPax({{"size", "-1"}})})));
  EXPECT_FALSE(Read(Tar({WithPax({{"path", std::string("a\0b", 3)}})})));
  EXPECT_FALSE(Read(TarHeader({.name = "x", .type = 'x'}, 10) + Padded("99999 a=b\n") + TarOf(File("a")) + kEnd));
  EXPECT_FALSE(Read(TarHeader({.name = "x", .type = 'x'}, 2 << 20)));
  EXPECT_FALSE(Read(std::string(512, '\0') + Tar({File("a")})));
}

TEST(TarReader, EveryTruncationInsideAnEntryIsAnError) {
  constexpr size_t kContent = 1500;
  const std::string entry = TarOf(WithPax({{"path", "long"}}, File("a", Noise(kContent))));
  const size_t padding = 3 * 512 - kContent;
  for (size_t size = 1; size < entry.size() - padding; ++size) EXPECT_FALSE(Read(entry.substr(0, size), 512)) << size;
}

// As umoci writes them.
TEST(TarReader, PaddingOfTheLastFileMayBeMissing) {
  const std::string entry = TarOf(File("a", Noise(1500)));
  for (size_t size = 1024 + 1000 - 12; size <= entry.size(); ++size)
    EXPECT_EQ(Read(entry.substr(0, size), 512).value().size(), 1u) << size;
}

TEST(TarReader, EndBetweenEntriesIsAnEndAndWhatFollowsTheEndIsIgnored) {
  EXPECT_EQ(Read(TarOf(File("a"))).value().size(), 1u);
  EXPECT_EQ(Read("").value().size(), 0u);
  EXPECT_EQ(Read(Tar({File("a")}) + "garbage").value().size(), 1u);
}

TEST(TarReader, WhatIsNoArchiveIsSaidToBeNone) {
  for (const std::string& text : {std::string("garbage"), std::string("\xfd") + "7zXZ" + std::string(1000, 'x')}) {
    const auto read = Read(text);
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, testing::HasSubstr("not an archive, or compressed with something else"));
  }
  const auto torn = Read(Tar({File("a", Noise(1000))}).substr(0, 700));
  ASSERT_FALSE(torn);
  EXPECT_THAT(torn.error().message, testing::HasSubstr("ends inside an entry"));
}

TEST(TarReader, MoreAttributesThanAFileCanHaveAreRefused) {
  std::vector<std::pair<std::string, std::string>> pax;
  for (int i = 0; i < 1025; ++i) pax.emplace_back("SCHILY.xattr.user." + std::to_string(i), "v");
  const auto read = Read(Tar({WithPax(pax)}));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, base::Code::kResourceExhausted);
  pax.pop_back();
  EXPECT_TRUE(Read(Tar({WithPax(pax)})));
}

}  // namespace
}  // namespace berth::image
