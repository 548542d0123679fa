// What the writer writes, our reader and the system's tar read.
#include "image/tar_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/child.h"
#include "tests/unit/image/tar_builder.h"
#include "tests/unit/kernel/temp_folder.h"

namespace berth::image {
namespace {

struct Collect : TarSink {
  base::Status Begin(const TarEntry& entry) override {
    entries.push_back(entry);
    texts.emplace_back();
    return {};
  }
  base::Status Data(uint64_t, std::span<const uint8_t> bytes) override {
    texts.back().append(bytes.begin(), bytes.end());
    return {};
  }
  base::Status End() override { return {}; }
  std::vector<TarEntry> entries;
  std::vector<std::string> texts;
};

class TarWriterTest : public testing::Test {
 protected:
  TarWriterTest() : file_(base::Open(path_, O_CREAT | O_RDWR, 0600).value()), writer_(file_.get(), "archive") {}

  Collect Read() {
    EXPECT_TRUE(writer_.Finish());
    Collect out;
    TarReader reader(out);
    EXPECT_TRUE(reader.Write(Bytes(base::ReadFile(path_).value())));
    EXPECT_TRUE(reader.Finish());
    return out;
  }

  kernel::TempFolder temp_;
  const base::Path path_ = temp_.path() / "archive.tar";
  base::UniqueFd file_;
  TarWriter writer_;
};

TEST_F(TarWriterTest, EveryKindComesBackAsItWas) {
  const std::string deep = std::string(120, 'a') + "/" + std::string(200, 'b');
  std::vector<TarEntry> all(6);
  all[0].type = TarEntry::Type::kFolder;
  all[0].name = "folder";
  all[0].mode = 01777;
  all[1].name = deep;
  all[1].mode = 04755;
  all[1].uid = 3'000'000'000;
  all[1].gid = 2'097'152;
  all[1].mtime = {.tv_sec = 1'700'000'000, .tv_nsec = 5};
  all[1].xattrs = {{"user.a", std::string("\0=\n", 3)}, {"security.capability", std::string(200, '\1')}};
  all[2].type = TarEntry::Type::kSymlink;
  all[2].name = "link";
  all[2].link = deep;
  all[3].type = TarEntry::Type::kHardLink;
  all[3].name = "hard";
  all[3].link = deep;
  all[4].type = TarEntry::Type::kCharDevice;
  all[4].name = "device";
  all[4].device_major = 5;
  all[4].device_minor = 200;
  all[5].type = TarEntry::Type::kFifo;
  all[5].name = "fifo";
  all[5].mtime = {.tv_sec = -1, .tv_nsec = 0};
  for (const TarEntry& entry : all) ASSERT_TRUE(writer_.Add(entry));
  const Collect read = Read();
  ASSERT_EQ(read.entries.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const TarEntry& got = read.entries[i];
    std::string name = got.name;
    if (name.ends_with('/')) name.pop_back();
    EXPECT_EQ(name, all[i].name);
    EXPECT_EQ(got.type, all[i].type);
    EXPECT_EQ(got.link, all[i].link);
    EXPECT_EQ(got.mode, all[i].mode);
    EXPECT_EQ(got.uid, all[i].uid);
    EXPECT_EQ(got.gid, all[i].gid);
    EXPECT_EQ(got.mtime.tv_sec, all[i].mtime.tv_sec);
    EXPECT_EQ(got.mtime.tv_nsec, all[i].mtime.tv_nsec);
    EXPECT_EQ(got.device_major, all[i].device_major);
    EXPECT_EQ(got.device_minor, all[i].device_minor);
    EXPECT_EQ(got.xattrs, all[i].xattrs);
  }
}

TEST_F(TarWriterTest, FileThatShrankIsFilledAndOneThatGrewIsCut) {
  const auto source = base::Open(temp_.File("source", "12345"), O_RDONLY).value();
  TarEntry entry;
  entry.name = "short";
  entry.size = 7;
  ASSERT_TRUE(writer_.AddFile(entry, source.get()));
  lseek(source.get(), 0, SEEK_SET);
  entry.name = "long";
  entry.size = 3;
  ASSERT_TRUE(writer_.AddFile(entry, source.get()));
  ASSERT_TRUE(writer_.AddText("text", "last"));
  EXPECT_EQ(Read().texts, (std::vector<std::string>{std::string("12345\0\0", 7), "123", "last"}));
}

TEST_F(TarWriterTest, SystemsTarReadsIt) {
  TarEntry entry;
  entry.name = std::string(150, 'n');
  entry.type = TarEntry::Type::kFolder;
  ASSERT_TRUE(writer_.Add(entry));
  ASSERT_TRUE(writer_.AddText(entry.name + "/file", "text"));
  ASSERT_TRUE(writer_.Finish());
  const auto listed = base::Run({.spawn = {.program = "/bin/tar", .arguments = {"tar", "-tf", path_.native()}}}, {});
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->exit.code, 0) << listed->errors;
  EXPECT_EQ(listed->output, entry.name + "/\n" + entry.name + "/file\n");
}

}  // namespace
}  // namespace berth::image
