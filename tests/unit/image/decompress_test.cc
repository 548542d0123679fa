#include "image/decompress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "tests/unit/image/tar_builder.h"

namespace berth::image {
namespace {

class StringSink : public ByteSink {
 public:
  explicit StringSink(size_t room = 4096) : buffer_(room) {}
  base::Result<std::span<uint8_t>> Room() override { return std::span(buffer_); }
  base::Status Filled(size_t count) override {
    text.append(reinterpret_cast<const char*>(buffer_.data()), count);
    return {};
  }
  std::string text;

 private:
  std::vector<uint8_t> buffer_;
};

base::Result<std::string> Inflate(std::string_view blob, size_t piece, Decompressor::Options options = {},
                                  size_t room = 4096) {
  StringSink sink(room);
  Decompressor decompressor(options);
  for (size_t at = 0; at < blob.size(); at += piece)
    RETURN_IF_ERROR(decompressor.Write(Bytes(blob.substr(at, piece)), sink));
  RETURN_IF_ERROR(decompressor.Finish(sink));
  return sink.text;
}

class DecompressTest : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Pieces, DecompressTest, testing::Values(1, 2, 3, 7, 511, 4096, 1 << 20));

TEST_P(DecompressTest, GzipGivesTheText) {
  const std::string text = Noise(200'000);
  EXPECT_EQ(Inflate(Gzip(text), GetParam()).value(), text);
}

TEST_P(DecompressTest, GzipMembersAreReadToTheEnd) {
  const std::string a = Noise(70'000, 1);
  const std::string b = Noise(90'001, 2);
  EXPECT_EQ(Inflate(Gzip(a) + Gzip("") + Gzip(b), GetParam()).value(), a + b);
}

TEST_P(DecompressTest, ZstdFramesAndSkippableFramesAreReadToTheEnd) {
  const std::string a = Noise(70'000, 1);
  const std::string b = Noise(90'001, 2);
  const std::string skip(
      "\x5a\x2a\x4d\x18\x03\x00\x00\x00"
      "abc",
      11);
  EXPECT_EQ(Inflate(skip + Zstd(a) + skip + Zstd(b) + skip, GetParam()).value(), a + b);
}

TEST_P(DecompressTest, PlainBytesPassUnchanged) {
  const std::string text = Noise(10'000);
  EXPECT_EQ(Inflate(text, GetParam()).value(), text);
}

TEST_P(DecompressTest, ZeroPaddingAfterTheEndIsTolerated) {
  EXPECT_EQ(Inflate(Gzip("hello") + std::string(700, '\0'), GetParam()).value(), "hello");
  EXPECT_EQ(Inflate(Zstd("hello") + std::string(700, '\0'), GetParam()).value(), "hello");
}

TEST_P(DecompressTest, OtherBytesAfterTheEndAreAnError) {
  EXPECT_FALSE(Inflate(Gzip("hello") + "garbage", GetParam()));
  EXPECT_FALSE(Inflate(Zstd("hello") + "garbage", GetParam()));
  EXPECT_FALSE(Inflate(Gzip("hello") + std::string(3, '\0') + Gzip("more"), GetParam()));
}

TEST(Decompress, EmptyAndTinyBlobsArePlain) {
  EXPECT_EQ(Inflate("", 1).value(), "");
  EXPECT_EQ(Inflate("abc", 1).value(), "abc");
}

TEST(Decompress, EveryTruncationIsAnError) {
  const std::string text = Noise(3'000);
  for (const std::string& blob : {Gzip(text), Zstd(text)}) {
    for (size_t size = 4; size < blob.size(); ++size) {
      EXPECT_FALSE(Inflate(std::string_view(blob).substr(0, size), 64)) << size;
    }
  }
}

TEST(Decompress, WrongGzipChecksumIsAnError) {
  std::string blob = Gzip("hello, hello, hello");
  blob[blob.size() - 6] = static_cast<char>(blob[blob.size() - 6] ^ 1);
  EXPECT_EQ(Inflate(blob, 5).error().code, base::Code::kInvalidArgument);
}

TEST(Decompress, OneByteOfRoomAtATimeIsEnough) {
  const std::string text = Noise(80'000);
  EXPECT_EQ(Inflate(Gzip(text), 1000, {}, 1).value(), text);
  EXPECT_EQ(Inflate(Zstd(text), 1000, {}, 1).value(), text);
}

std::string ZstdWithWindow(const std::string& text, int window_log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string blob(4096, '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer out{blob.data(), blob.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush);
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  blob.resize(out.pos);
  return blob;
}

TEST(Decompress, WindowAboveTheLimitIsRefused) {
  const std::string text(1000, 'a');
  EXPECT_EQ(Inflate(ZstdWithWindow(text, 24), 100, {.zstd_window_log = 20}).error().code,
            base::Code::kResourceExhausted);
  EXPECT_EQ(Inflate(ZstdWithWindow(text, 24), 100, {.zstd_window_log = 24}).value(), text);
  EXPECT_EQ(Inflate(ZstdWithWindow(text, 26), 100, {.zstd_window_log = 26}).value(), text);
  EXPECT_THAT(Inflate(ZstdWithWindow(text, 27), 100, {.zstd_window_log = 26}).error().message,
              testing::HasSubstr("a window of more than 65536 KiB"));
}

TEST(Decompress, WindowsComeFromTheBudgetAndGoBack) {
  const std::string text(1000, 'a');
  const auto windows = WindowBudget::Make(8 << 20);
  const Decompressor::Options options{.zstd_window_log = 31, .windows = windows};
  for (const size_t piece : {1, 5, 100}) {
    EXPECT_EQ(Inflate(ZstdWithWindow(text, 20) + ZstdWithWindow(text, 23) + Zstd(text), piece, options).value(),
              text + text + text);
    EXPECT_EQ(windows->free(), 8U << 20);
  }
  const auto refused = Inflate(ZstdWithWindow(text, 24), 100, options);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message,
              testing::AllOf(testing::HasSubstr("a window of 16384 KiB"), testing::HasSubstr("8192 KiB")));
  // What a frame with a known size needs is no more than that.
  EXPECT_EQ(Inflate(Zstd(Noise(100'000)), 100, {.windows = WindowBudget::Make(100'000)}).value(), Noise(100'000));
  EXPECT_FALSE(Inflate(Zstd(Noise(100'000)), 100, {.windows = WindowBudget::Make(99'999)}));
}

TEST(Decompress, ALayerThatWaitsForItsWindowCanBeCancelled) {
  const auto windows = WindowBudget::Make(8 << 20);
  auto all = windows->Take(8 << 20, {});
  ASSERT_TRUE(all);
  const auto context = base::Context::Make();
  StringSink sink;
  Decompressor decompressor({.windows = windows}, context);
  std::jthread cancel([&] { context.Cancel(); });
  EXPECT_EQ(decompressor.Write(Bytes(ZstdWithWindow("text", 20)), sink).error().code, base::Code::kCancelled);
  cancel.join();
  *all = {};
  EXPECT_EQ(windows->free(), 8U << 20);
}

TEST(WindowBudget, NobodyIsOvertakenAndWhoLeavesLetsTheNextOn) {
  const auto windows = WindowBudget::Make(10);
  auto held = windows->Take(6, {});
  ASSERT_TRUE(held);
  EXPECT_FALSE(windows->Take(11, {}));
  const auto large = base::Context::Make();
  bool small_served = false;
  std::jthread first([&] { EXPECT_EQ(windows->Take(8, large).error().code, base::Code::kCancelled); });
  while (windows->waiting() < 1) std::this_thread::yield();
  std::jthread second([&] { small_served = windows->Take(4, {}).has_value(); });
  while (windows->waiting() < 2) std::this_thread::yield();
  large.Cancel();
  first.join();
  second.join();
  EXPECT_TRUE(small_served);
  *held = {};
  EXPECT_EQ(windows->free(), 10U);
}

TEST(WindowBudget, BytesGoRoundAmongMany) {
  const auto windows = WindowBudget::Make(5);
  std::atomic<int> held = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 500; ++k) {
        const int want = 1 + (i + k) % 5;
        auto share = windows->Take(static_cast<uint64_t>(want), {});
        ASSERT_TRUE(share);
        EXPECT_LE(held += want, 5);
        held -= want;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(windows->free(), 5U);
}

TEST(Decompress, BombsEndAtTheLimits) {
  const std::string zeros(8 << 20, '\0');
  Decompressor::Options by_size;
  by_size.output_limit = 1 << 20;
  EXPECT_EQ(Inflate(Gzip(zeros), 4096, by_size).error().code, base::Code::kResourceExhausted);
  Decompressor::Options by_ratio;
  by_ratio.ratio_free = 1 << 20;
  by_ratio.ratio_limit = 10;
  EXPECT_EQ(Inflate(Gzip(zeros), 4096, by_ratio).error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(Inflate(Zstd(zeros), 4096, by_ratio).error().code, base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace berth::image
