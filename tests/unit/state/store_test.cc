#include "state/store.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "temp_folder.h"

namespace berth::state {
namespace {

using base::Code;
using base::Durability;
using base::Result;
using testing::ElementsAre;

struct Thing {
  int64_t number = 0;
};

Store<Thing>::Options OptionsFor(const base::Path& folder) {
  return {.folder = folder,
          .kind = "thing",
          .encode = [](const Thing& thing) { return "v1 " + std::to_string(thing.number); },
          .decode = [](std::string_view text) -> Result<Thing> {
            if (!text.starts_with("v1 ")) return base::Fail(Code::kInvalidArgument, "unknown version");
            const auto number = base::ParseInt(text.substr(3));
            if (!number) return base::Fail(Code::kInvalidArgument, "not a number");
            return Thing{*number};
          }};
}

Result<Thing> Increment(const Thing& old) {
  return Thing{old.number + 1};
}

int64_t OnDisk(const base::Path& folder, const std::string& id) {
  Store<Thing> store(OptionsFor(folder));
  EXPECT_TRUE(store.Load());
  const auto thing = store.Get(id);
  return thing ? thing->number : -1;
}

TEST(Store, InsertedObjectIsThereAfterRestart) {
  const TempFolder folder;
  {
    Store<Thing> store(OptionsFor(folder / "things"));
    ASSERT_TRUE(store.Load());
    ASSERT_TRUE(store.Insert("a1", {7}));
    EXPECT_EQ(store.Get("a1")->number, 7);
  }
  EXPECT_EQ(OnDisk(folder / "things", "a1"), 7);
}

TEST(Store, ChangesAreToldInOrderOnceTheyCanBeSeen) {
  const TempFolder folder;
  auto options = OptionsFor(folder / "things");
  std::vector<std::string> told;
  options.changed = [&](const std::shared_ptr<const Thing>& before, const std::shared_ptr<const Thing>& after) {
    const auto text = [](const std::shared_ptr<const Thing>& one) { return one ? std::to_string(one->number) : "-"; };
    told.push_back(text(before) + ">" + text(after));
  };
  {
    Store<Thing> store(options);
    ASSERT_TRUE(store.Load());
    ASSERT_TRUE(store.Insert("a1", {7}));
    ASSERT_TRUE(store.Update("a1", Increment, Persist::kMust));
    ASSERT_FALSE(store.Update(
        "a1", [](const Thing&) -> Result<Thing> { return base::Fail(Code::kInternal, "no"); }, Persist::kMust));
    ASSERT_TRUE(store.Erase("a1"));
    ASSERT_TRUE(store.Erase("a1"));
    EXPECT_THAT(told, ElementsAre("->7", "7>8", "8>-"));
    ASSERT_TRUE(store.Insert("b2", {1}));
  }
  told.clear();
  Store<Thing> again(options);
  ASSERT_TRUE(again.Load());
  EXPECT_TRUE(told.empty()) << "what is found is no change";
}

TEST(Store, InsertOfExistingIdIsRefused) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a1", {7}));
  const auto status = store.Insert("a1", {8});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kAlreadyExists);
  EXPECT_EQ(store.Get("a1")->number, 7);
}

TEST(Store, InsertOfIdThatIsNoFileNameIsRefused) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  for (const std::string id : {"", ".", "..", "a/b", "../x", ".hidden", "-", "a b"}) {
    const auto status = store.Insert(id, {1});
    ASSERT_FALSE(status) << id;
    EXPECT_EQ(status.error().code, Code::kInvalidArgument) << id;
  }
}

TEST(Store, UpdateIsWrittenAndSeen) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a1", {7}));
  const auto old = store.Snapshot();
  const auto updated = store.Update("a1", Increment, Persist::kMust, Durability::kDurable);
  ASSERT_TRUE(updated);
  EXPECT_EQ((*updated)->number, 8);
  EXPECT_EQ(store.Get("a1")->number, 8);
  EXPECT_EQ(old.Get("a1")->number, 7);
  EXPECT_EQ(OnDisk(folder.path(), "a1"), 8);
}

TEST(Store, UpdateOfUnknownIdIsNotFound) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  const auto updated = store.Update("a1", Increment, Persist::kMust);
  ASSERT_FALSE(updated);
  EXPECT_EQ(updated.error().code, Code::kNotFound);
  EXPECT_EQ(updated.error().message, "thing \"a1\": not found");
}

TEST(Store, RefusedChangeChangesNothing) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a1", {7}));
  const auto updated = store.Update(
      "a1", [](const Thing&) -> Result<Thing> { return base::Fail(Code::kFailedPrecondition, "no"); }, Persist::kMust);
  ASSERT_FALSE(updated);
  EXPECT_EQ(updated.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(store.Get("a1")->number, 7);
}

TEST(Store, VolatileChangeIsSeenButNotWritten) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a1", {7}));
  ASSERT_TRUE(store.Update("a1", Increment, Persist::kVolatile));
  EXPECT_EQ(store.Get("a1")->number, 8);
  EXPECT_EQ(OnDisk(folder.path(), "a1"), 7);
  EXPECT_EQ(store.dirty(), 0u);
}

TEST(Store, EraseRemovesRecordAndEmptyFolder) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a1", {7}));
  ASSERT_TRUE(store.Insert("a2", {7}));
  ASSERT_TRUE(base::WriteFile(folder / "a2/ledger", "x"));
  ASSERT_TRUE(store.Erase("a1", Durability::kDurable));
  ASSERT_TRUE(store.Erase("a2"));
  ASSERT_TRUE(store.Erase("a2"));
  EXPECT_TRUE(store.Snapshot().empty());
  EXPECT_FALSE(base::Exists(folder / "a1"));
  EXPECT_TRUE(base::Exists(folder / "a2/ledger"));
  EXPECT_FALSE(store.Update("a1", Increment, Persist::kMust));
  EXPECT_TRUE(store.Insert("a1", {9}));
}

TEST(Store, FindTakesIdsAndUniquePrefixes) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  for (const std::string id : {"abc", "abcd", "abx", "b"}) ASSERT_TRUE(store.Insert(id, {}, Durability::kVolatile));
  EXPECT_EQ(store.Find("abc")->id, "abc");
  EXPECT_EQ(store.Find("abcd")->id, "abcd");
  EXPECT_EQ(store.Find("abx")->id, "abx");
  EXPECT_EQ(store.Find("b")->id, "b");
  EXPECT_EQ(store.Find("ab").error().code, Code::kInvalidArgument);
  EXPECT_EQ(store.Find("c").error().code, Code::kNotFound);
  EXPECT_EQ(store.Find("bb").error().code, Code::kNotFound);
  EXPECT_EQ(store.Find("").error().code, Code::kNotFound);
}

TEST(Store, SnapshotIsOrderedAndSearchable) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  for (const std::string id : {"c", "a", "b"}) ASSERT_TRUE(store.Insert(id, {id[0]}, Durability::kVolatile));
  std::vector<std::string> ids;
  for (const auto& [id, thing] : store.Snapshot()) {
    ids.push_back(id);
    EXPECT_EQ(thing.number, id[0]);
  }
  EXPECT_THAT(ids, ElementsAre("a", "b", "c"));
  EXPECT_EQ(store.Snapshot().FindIf([](const std::string&, const Thing& thing) { return thing.number == 'b'; })->number,
            'b');
  EXPECT_EQ(store.Snapshot().FindIf([](const std::string&, const Thing&) { return false; }), nullptr);
}

TEST(StoreLoad, MissingFolderIsMade) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder / "a/b"));
  ASSERT_TRUE(store.Load());
  EXPECT_TRUE(base::Exists(folder / "a/b"));
}

TEST(StoreLoad, BadRecordIsSetAsideAndTheRestLoads) {
  const TempFolder folder;
  {
    Store<Thing> store(OptionsFor(folder.path()));
    for (const std::string id : {"a", "b", "c"}) ASSERT_TRUE(store.Insert(id, {1}));
    ASSERT_TRUE(base::MakeDirs(folder / "b/upper"));
    ASSERT_TRUE(base::WriteFile(folder / "b/record.json", "garbage"));
    ASSERT_TRUE(SlotFile::Create(folder / "c/record.json", "v2 something", Durability::kVolatile));
    ASSERT_TRUE(base::MakeDirs(folder / "d"));
  }
  Store<Thing> store(OptionsFor(folder.path()));
  const auto report = store.Load();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->loaded, 1u);
  ASSERT_EQ(report->bad.size(), 2u);
  EXPECT_EQ(report->bad[0].id, "b");
  EXPECT_EQ(report->bad[0].path, folder / "b/record.json.bad");
  EXPECT_EQ(report->bad[1].error.message, "thing c: unknown version");
  EXPECT_THAT(report->without_record, ElementsAre("d"));
  EXPECT_TRUE(base::Exists(folder / "b/upper"));
  EXPECT_TRUE(base::Exists(folder / "b/record.json.bad"));
  EXPECT_FALSE(base::Exists(folder / "b/record.json"));
}

TEST(StoreLoad, AnEarlierBadRecordIsKept) {
  const TempFolder folder;
  ASSERT_TRUE(base::MakeDirs(folder / "a"));
  for (const std::string expected : {"record.json.bad", "record.json.bad.1", "record.json.bad.2"}) {
    ASSERT_TRUE(base::WriteFile(folder / "a/record.json", "x"));
    Store<Thing> store(OptionsFor(folder.path()));
    EXPECT_EQ(store.Load()->bad[0].path, folder / "a" / expected);
  }
}

TEST(StoreLoad, RecordThatIsAFolderIsSetAside) {
  const TempFolder folder;
  ASSERT_TRUE(base::MakeDirs(folder / "a/record.json"));
  Store<Thing> store(OptionsFor(folder.path()));
  EXPECT_EQ(store.Load()->bad.size(), 1u);
}

TEST(StoreLoad, AnyGarbledByteNeverStopsTheStart) {
  const TempFolder folder;
  {
    Store<Thing> store(OptionsFor(folder.path()));
    ASSERT_TRUE(store.Insert("a", {1}));
    ASSERT_TRUE(store.Update("a", Increment, Persist::kMust));
  }
  const std::string good = base::ReadFile(folder / "a/record.json").value();
  for (size_t i = 0; i < good.size(); i += i % 4096 < 128 ? 1 : 61) {
    std::string garbled = good;
    garbled[i] = static_cast<char>(garbled[i] ^ 0x41);
    ASSERT_TRUE(base::WriteFile(folder / "a/record.json", garbled));
    Store<Thing> store(OptionsFor(folder.path()));
    const auto report = store.Load();
    ASSERT_TRUE(report);
    ASSERT_EQ(report->loaded, 1u) << i;
    EXPECT_THAT(store.Get("a")->number, testing::AnyOf(1, 2)) << i;
  }
}

TEST(StoreThreads, NoUpdateOfOneObjectIsLost) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  ASSERT_TRUE(store.Insert("a", {0}));
  constexpr int kThreads = 8;
  constexpr int kEach = 50;
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const Persist persist[] = {Persist::kMust, Persist::kBestEffort, Persist::kVolatile};
        for (int i = 0; i < kEach; ++i) {
          if (!store.Update("a", Increment, persist[(t + i) % 3])) ++failed;
        }
      });
    }
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(store.Get("a")->number, kThreads * kEach);
  ASSERT_TRUE(store.Update("a", Increment, Persist::kMust));
  EXPECT_EQ(OnDisk(folder.path(), "a"), kThreads * kEach + 1);
}

TEST(StoreThreads, ReadersInsertersAndErasersGetAlong) {
  const TempFolder folder;
  Store<Thing> store(OptionsFor(folder.path()));
  std::atomic<bool> stop = false;
  std::jthread reader([&] {
    while (!stop) {
      for (const auto& [id, thing] : store.Snapshot()) EXPECT_GE(thing.number, 0) << id;
      (void)store.Find("t1");
    }
  });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        // Two threads share each id.
        const std::string id = "t" + std::to_string(t / 2);
        for (int i = 0; i < 40; ++i) {
          (void)store.Insert(id, {0}, Durability::kVolatile);
          (void)store.Update(id, Increment, Persist::kMust);
          (void)store.Update(id, Increment, Persist::kBestEffort);
          (void)store.Erase(id);
        }
      });
    }
  }
  stop = true;
  for (const std::string id : {"t0", "t1", "t2"}) ASSERT_TRUE(store.Erase(id));
  EXPECT_TRUE(store.Snapshot().empty());
  EXPECT_EQ(store.dirty(), 0u);
}

TEST(StoreOnFullDisk, UpdateAndEraseWorkWithNoByteFree) {
  TempFolder folder;
  if (const int err = folder.MountSmall("512k")) GTEST_SKIP() << "cannot mount a tmpfs: " << strerror(err);
  Store<Thing> store(OptionsFor(folder / "things"));
  ASSERT_TRUE(store.Load());
  ASSERT_TRUE(store.Insert("a", {1}));
  FillUp(folder / "fill");
  ASSERT_TRUE(store.Update("a", Increment, Persist::kMust, Durability::kDurable));
  EXPECT_EQ(OnDisk(folder / "things", "a"), 2);
  const auto inserted = store.Insert("b", {1});
  ASSERT_FALSE(inserted);
  EXPECT_EQ(inserted.error().code, Code::kResourceExhausted);
  EXPECT_FALSE(base::Exists(folder / "things/b"));
  ASSERT_TRUE(store.Erase("a", Durability::kDurable));
  EXPECT_FALSE(base::Exists(folder / "things/a"));
}

// A record file that cannot be opened for writing stands for a disk that refuses.
class StoreOnBadDisk : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(store_.Insert("a", {1}));
    Break();
  }
  void Break() {
    ASSERT_EQ(rename((folder_ / "a/record.json").c_str(), (folder_ / "a/hidden").c_str()), 0);
    ASSERT_TRUE(base::MakeDirs(folder_ / "a/record.json"));
  }
  void Mend() {
    ASSERT_EQ(rmdir((folder_ / "a/record.json").c_str()), 0);
    ASSERT_EQ(rename((folder_ / "a/hidden").c_str(), (folder_ / "a/record.json").c_str()), 0);
  }
  const TempFolder folder_;
  Store<Thing> store_{OptionsFor(folder_.path())};
};

TEST_F(StoreOnBadDisk, ChangeThatMustBeWrittenFailsAndTheOldValueStays) {
  const auto updated = store_.Update("a", Increment, Persist::kMust);
  ASSERT_FALSE(updated);
  EXPECT_EQ(store_.Get("a")->number, 1);
  EXPECT_EQ(store_.dirty(), 0u);
}

TEST_F(StoreOnBadDisk, BestEffortChangeIsServedCountedAndWrittenLater) {
  ASSERT_TRUE(store_.Update("a", Increment, Persist::kBestEffort));
  EXPECT_EQ(store_.Get("a")->number, 2);
  EXPECT_EQ(store_.dirty(), 1u);
  EXPECT_FALSE(store_.Update("a", Increment, Persist::kMust));
  EXPECT_EQ(store_.dirty(), 1u);
  EXPECT_EQ(store_.RetryDirty(), 1u);
  Mend();
  EXPECT_EQ(store_.RetryDirty(), 0u);
  EXPECT_EQ(OnDisk(folder_.path(), "a"), 2);
}

TEST_F(StoreOnBadDisk, MixedChangesKeepThoseThatMayBeKept) {
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        const bool must = t % 2 == 0;
        const auto updated = store_.Update("a", Increment, must ? Persist::kMust : Persist::kBestEffort);
        if (!updated) ++refused;
        EXPECT_EQ(updated.has_value(), !must);
      });
    }
  }
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(store_.Get("a")->number, 5);
  Mend();
  EXPECT_EQ(store_.RetryDirty(), 0u);
  EXPECT_EQ(OnDisk(folder_.path(), "a"), 5);
}

}  // namespace
}  // namespace berth::state
