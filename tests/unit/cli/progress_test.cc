#include "cli/progress.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

void AddLayer(v1::PullProgressEvent& event, const char* digest, int64_t done, int64_t total, v1::LayerState state) {
  auto* layer = event.add_layers();
  layer->set_digest(digest);
  layer->set_done_bytes(done);
  layer->set_total_bytes(total);
  layer->set_state(state);
}

TEST(PullProgress, NothingIsShownBeforeTheLayersAreKnown) {
  PullProgress progress;
  progress.Update({}, base::TimePoint());
  EXPECT_TRUE(progress.Lines(80, 24).empty());
}

TEST(PullProgress, LayersHaveBarBytesAndSpeed) {
  PullProgress progress;
  v1::PullProgressEvent first, second;
  AddLayer(first, "sha256:aaaaaaaaaaaaaaaaaaaa", 0, 10'000'000, v1::LAYER_DOWNLOADING);
  AddLayer(first, "sha256:bbbbbbbbbbbbbbbbbbbb", 0, 5'000, v1::LAYER_PRESENT);
  AddLayer(second, "sha256:aaaaaaaaaaaaaaaaaaaa", 5'000'000, 10'000'000, v1::LAYER_DOWNLOADING);
  AddLayer(second, "sha256:bbbbbbbbbbbbbbbbbbbb", 0, 5'000, v1::LAYER_PRESENT);
  const base::TimePoint start{};
  progress.Update(first, start);
  progress.Update(second, start + std::chrono::seconds(1));
  EXPECT_EQ(progress.Lines(100, 24), (std::vector<std::string>{
                                         "aaaaaaaaaaaaa  [============            ] 5.0 MB of 10 MB  5.0 MB/s",
                                         "bbbbbbbbbbbbb  is here already",
                                         "1 of 2 layers, 5.0 MB of 10 MB  5.0 MB/s",
                                     }));
}

TEST(PullProgress, FitsIntoTheTerminal) {
  PullProgress progress;
  v1::PullProgressEvent event;
  for (const char* digest : {"a1", "a2", "a3", "a4", "a5"}) AddLayer(event, digest, 0, 10, v1::LAYER_WAITING);
  AddLayer(event, "busy", 1, 10, v1::LAYER_DOWNLOADING);
  progress.Update(event, base::TimePoint());
  const auto lines = progress.Lines(20, 3);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].starts_with("busy")) << lines[0];
  for (const std::string& line : lines) EXPECT_LE(line.size(), 20u);
}

TEST(PullProgress, CompleteLayersAreToldOnce) {
  PullProgress progress;
  v1::PullProgressEvent event;
  AddLayer(event, "sha256:aa", 5, 5, v1::LAYER_DONE);
  AddLayer(event, "sha256:bb", 1, 5, v1::LAYER_DOWNLOADING);
  progress.Update(event, base::TimePoint());
  EXPECT_EQ(progress.TakeNews(), (std::vector<std::string>{"aa  done, 5 B"}));
  EXPECT_TRUE(progress.TakeNews().empty());
}

TEST(PullProgress, FiguresThatMakeNoSenseDoNoHarm) {
  PullProgress progress;
  v1::PullProgressEvent event;
  AddLayer(event, "x", -5, 0, v1::LAYER_DOWNLOADING);
  AddLayer(event, "y", 50, 10, v1::LAYER_DOWNLOADING);
  progress.Update(event, base::TimePoint());
  progress.Update(event, base::TimePoint());
  EXPECT_EQ(progress.Lines(80, 24).size(), 3u);
}

}  // namespace
}  // namespace berth::cli
