#include "state/slot_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/checksum.h"
#include "temp_folder.h"

namespace berth::state {
namespace {

using base::Durability;

std::string Bytes(const base::Path& path) {
  return base::ReadFile(path).value();
}
void Put(const base::Path& path, std::string_view bytes) {
  ASSERT_TRUE(base::WriteFile(path, bytes));
}

TEST(Checksum, MatchesThePublishedCheckValue) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(ChecksumText("123456789"), "e3069283");
  EXPECT_EQ(ChecksumText(""), "00000000");
}

TEST(SlotFile, KeepsWhatWasWritten) {
  const TempFolder folder;
  for (const Durability durability : {Durability::kVolatile, Durability::kDurable}) {
    auto file = SlotFile::Create(folder / "f", "one", durability);
    ASSERT_TRUE(file) << file.error().Text();
    EXPECT_EQ(file->Read().value(), "one");
    for (int i = 0; i < 5; ++i) {
      const std::string text = "value " + std::to_string(i) + "\n\n  ";
      ASSERT_TRUE(file->Write(text, durability));
      EXPECT_EQ(file->Read().value(), text);
      auto again = SlotFile::Open(folder / "f");
      ASSERT_TRUE(again);
      EXPECT_EQ(again->Read().value(), text);
      EXPECT_FALSE(again->recovered());
      EXPECT_EQ(again->sequence(), file->sequence());
      EXPECT_EQ(again->capacity(), file->capacity());
    }
  }
  EXPECT_FALSE(base::Exists(folder / "f.tmp"));
}

TEST(SlotFile, KeepsEmptyAndBinaryContent) {
  const TempFolder folder;
  auto file = SlotFile::Create(folder / "f", "", Durability::kVolatile);
  ASSERT_TRUE(file);
  EXPECT_EQ(SlotFile::Open(folder / "f")->Read().value(), "");
  const std::string binary("\0berth-slot 1 4096 9 0 00000000\n\xff\n", 34);
  ASSERT_TRUE(file->Write(binary, Durability::kVolatile));
  EXPECT_EQ(SlotFile::Open(folder / "f")->Read().value(), binary);
}

TEST(SlotFile, MissingFileIsToldByErrno) {
  const TempFolder folder;
  const auto file = SlotFile::Open(folder / "none");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().err, ENOENT);
}

TEST(SlotFile, OpenRemovesWhatACreateThatWasCutShortLeft) {
  const TempFolder folder;
  ASSERT_TRUE(base::WriteFile(folder / "f.tmp", "half"));
  const auto missing = SlotFile::Open(folder / "f");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().err, ENOENT);
  EXPECT_FALSE(base::Exists(folder / "f.tmp"));
}

TEST(SlotFile, WritesInPlace) {
  const TempFolder folder;
  auto file = SlotFile::Create(folder / "f", "one", Durability::kVolatile);
  ASSERT_TRUE(file);
  const size_t size = Bytes(folder / "f").size();
  EXPECT_EQ(size, 2 * file->capacity());
  ASSERT_TRUE(file->Write(std::string(SlotFile::kSlack, 'x'), Durability::kDurable));
  EXPECT_EQ(Bytes(folder / "f").size(), size);
}

TEST(SlotFile, GrowsWhenContentOutgrowsIt) {
  const TempFolder folder;
  auto file = SlotFile::Create(folder / "f", "one", Durability::kVolatile);
  ASSERT_TRUE(file);
  const std::string large(20'000, 'x');
  ASSERT_TRUE(file->Write(large, Durability::kDurable));
  EXPECT_GE(file->capacity(), large.size());
  ASSERT_TRUE(file->Write("small again", Durability::kDurable));
  EXPECT_EQ(SlotFile::Open(folder / "f")->Read().value(), "small again");
}

TEST(SlotFile, RefusesContentThatFitsNoRecord) {
  const TempFolder folder;
  auto file = SlotFile::Create(folder / "f", "one", Durability::kVolatile);
  ASSERT_TRUE(file);
  const base::Status status = file->Write(std::string(SlotFile::kMaxCapacity, 'x'), Durability::kVolatile);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(file->Read().value(), "one");
}

TEST(SlotFile, RemoveOfRemovedSucceeds) {
  const TempFolder folder;
  auto file = SlotFile::Create(folder / "f", "one", Durability::kVolatile);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->Remove(Durability::kDurable));
  EXPECT_TRUE(file->Remove(Durability::kDurable));
  EXPECT_FALSE(base::Exists(folder / "f"));
}

// The two writes of a crash test: "old" is what was there, "new" what was being written.
class CutShort : public testing::Test {
 protected:
  void SetUp() override {
    auto file = SlotFile::Create(path_, "zero", Durability::kVolatile);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write("old value", Durability::kVolatile));
    before_ = Bytes(path_);
    ASSERT_TRUE(file->Write("new value", Durability::kVolatile));
    after_ = Bytes(path_);
    capacity_ = file->capacity();
  }
  std::string ReadBack() {
    auto file = SlotFile::Open(path_);
    return file ? file->Read().value() : "damaged";
  }

  const TempFolder folder_;
  const base::Path path_ = folder_ / "f";
  std::string before_;
  std::string after_;
  size_t capacity_ = 0;
};

TEST_F(CutShort, AtAnyByteLeavesTheOldValueOrTheNewOne) {
  const auto first = std::mismatch(before_.begin(), before_.end(), after_.begin()).first - before_.begin();
  const auto last = static_cast<ptrdiff_t>(after_.find("new value") + 9);
  for (ptrdiff_t cut = first; cut <= last; ++cut) {
    const auto at = static_cast<size_t>(cut);
    Put(path_, after_.substr(0, at) + before_.substr(at));
    EXPECT_EQ(ReadBack(), cut == last ? "new value" : "old value") << "cut at " << cut;
  }
}

TEST_F(CutShort, SectorsInTheOtherOrderLeaveTheOldValueOrTheNewOne) {
  for (size_t sector = 0; sector < after_.size(); sector += 512) {
    std::string mixed = before_;
    mixed.replace(sector, 512, after_, sector, 512);
    Put(path_, mixed);
    EXPECT_THAT((std::vector<std::string>{"old value", "new value"}), testing::Contains(ReadBack()));
  }
}

TEST_F(CutShort, AnyGarbledByteOfTheNewestSlotFallsBackAndSaysSo) {
  const size_t slot =
      after_.find("berth-slot 1 " + std::to_string(capacity_) + " 3") != std::string::npos ? capacity_ : 0;
  const size_t end = after_.find("new value") + 9;
  for (size_t i = slot; i < end; ++i) {
    std::string garbled = after_;
    garbled[i] = static_cast<char>(garbled[i] ^ 0x15);
    Put(path_, garbled);
    auto file = SlotFile::Open(path_);
    ASSERT_TRUE(file) << "byte " << i;
    EXPECT_EQ(file->Read().value(), "old value") << "byte " << i;
    EXPECT_TRUE(file->recovered());
    ASSERT_TRUE(file->Write("repaired", Durability::kVolatile));
    EXPECT_EQ(ReadBack(), "repaired") << "byte " << i;
  }
}

TEST_F(CutShort, AnyGarbledByteNeverInventsContent) {
  for (size_t i = 0; i < after_.size(); ++i) {
    std::string garbled = after_;
    garbled[i] = static_cast<char>(~garbled[i]);
    Put(path_, garbled);
    EXPECT_THAT((std::vector<std::string>{"old value", "new value"}), testing::Contains(ReadBack())) << "byte " << i;
  }
}

TEST_F(CutShort, TruncationAnywhereLeavesAValueOrAnError) {
  for (size_t size = 0; size < after_.size();
       size += size < 200 || (size > capacity_ && size < capacity_ + 200) ? 1 : 97) {
    Put(path_, after_.substr(0, size));
    EXPECT_THAT((std::vector<std::string>{"old value", "new value", "damaged"}), testing::Contains(ReadBack())) << size;
  }
}

TEST_F(CutShort, ZeroedFileIsDamagedNotEmpty) {
  Put(path_, std::string(after_.size(), '\0'));
  EXPECT_EQ(ReadBack(), "damaged");
  Put(path_, "");
  EXPECT_EQ(ReadBack(), "damaged");
}

TEST(SlotFileOnFullDisk, IsRewrittenWithNoByteFree) {
  TempFolder folder;
  if (const int err = folder.MountSmall("256k")) GTEST_SKIP() << "cannot mount a tmpfs: " << strerror(err);
  auto file = SlotFile::Create(folder / "f", "one", Durability::kDurable);
  ASSERT_TRUE(file);
  FillUp(folder / "fill");
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(file->Write(std::string(SlotFile::kSlack, static_cast<char>('a' + i)), Durability::kDurable));
  }
  EXPECT_EQ(SlotFile::Open(folder / "f")->Read().value(), std::string(SlotFile::kSlack, 'd'));
}

TEST(SlotFileOnFullDisk, GrowthThatFindsNoRoomLeavesTheOldValue) {
  TempFolder folder;
  if (const int err = folder.MountSmall("256k")) GTEST_SKIP() << "cannot mount a tmpfs: " << strerror(err);
  auto file = SlotFile::Create(folder / "f", "one", Durability::kDurable);
  ASSERT_TRUE(file);
  FillUp(folder / "fill");
  const base::Status status = file->Write(std::string(20'000, 'x'), Durability::kDurable);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(file->Read().value(), "one");
  EXPECT_EQ(SlotFile::Open(folder / "f")->Read().value(), "one");
  EXPECT_FALSE(base::Exists(folder / "f.tmp"));
  ASSERT_TRUE(file->Write("two", Durability::kDurable));
  EXPECT_EQ(file->Read().value(), "two");
}

}  // namespace
}  // namespace berth::state
