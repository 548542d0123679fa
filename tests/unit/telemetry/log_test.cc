#include "server/telemetry/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/strings.h"

namespace berth::telemetry {
namespace {

using config::LogFormat;
using testing::MatchesRegex;
using testing::StartsWith;

std::string Formatted(LogFormat format, bool priorities, spdlog::level::level_enum level, const std::string& text) {
  spdlog::memory_buf_t out;
  const spdlog::details::log_msg message({}, "berthd", level, text);
  MakeLogFormatter(format, priorities)->format(message, out);
  return {out.data(), out.size()};
}

TEST(Log, TextIsOneLineWhateverIsInIt) {
  EXPECT_THAT(Formatted(LogFormat::kText, false, spdlog::level::warn, "error=\"no\n\x1b[2Jend\""),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{6}Z W error=\"no  \\[2Jend\"\n"));
}

TEST(Log, JsonHoldsTheMessageAsItWas) {
  const std::string text = "error=\"a\\b\"\n\t\x01 \xc3\xa4";
  const std::string line = Formatted(LogFormat::kJson, false, spdlog::level::err, text);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed.at("message"), text);
  EXPECT_EQ(parsed.at("level"), "error");
  EXPECT_TRUE(parsed.at("thread").is_number());
  EXPECT_THAT(parsed.at("time").get<std::string>(), MatchesRegex("[0-9-]{10}T[0-9:]{8}\\.[0-9]{6}Z"));
}

TEST(Log, JsonIsJsonAlsoForWhatIsNoText) {
  EXPECT_EQ(nlohmann::json::parse(Formatted(LogFormat::kJson, false, spdlog::level::info,
                                            "a\xff"
                                            "b"))
                .at("message"),
            "a\xef\xbf\xbd"
            "b");
}

TEST(Log, PrioritiesAreSyslogs) {
  for (const auto& [level, priority] : {std::pair(spdlog::level::debug, "<7>"),
                                        {spdlog::level::info, "<6>"},
                                        {spdlog::level::warn, "<4>"},
                                        {spdlog::level::err, "<3>"},
                                        {spdlog::level::critical, "<2>"}}) {
    EXPECT_THAT(Formatted(LogFormat::kText, true, level, "x"), StartsWith(base::Cat(priority, "2"))) << priority;
    EXPECT_THAT(Formatted(LogFormat::kJson, true, level, "x"), StartsWith(base::Cat(priority, "{"))) << priority;
  }
}

TEST(Log, OnlyTheJournalsOwnDescriptorIsTheJournal) {
  auto fd = base::Open("/dev/null", O_WRONLY);
  ASSERT_TRUE(fd);
  struct stat info {};
  ASSERT_EQ(fstat(fd->get(), &info), 0);
  EXPECT_TRUE(IsJournal(fd->get(), base::Cat(info.st_dev, ":", info.st_ino).c_str()));
  EXPECT_FALSE(IsJournal(fd->get(), base::Cat(info.st_dev, ":", info.st_ino + 1).c_str()));
  EXPECT_FALSE(IsJournal(fd->get(), nullptr));
  EXPECT_FALSE(IsJournal(fd->get(), ""));
}

TEST(Log, LevelsHaveTheConfigurationsNames) {
  for (const char* name : {"debug", "info", "warning", "error"}) {
    const auto level = LogLevelNamed(name);
    ASSERT_TRUE(level) << name;
    SetLogLevel(*level);
    EXPECT_EQ(LogLevelName(), name);
  }
  SetLogLevel(config::LogLevel::kInfo);
  EXPECT_FALSE(spdlog::should_log(spdlog::level::debug));
  EXPECT_TRUE(spdlog::should_log(spdlog::level::info));
  for (const char* name : {"", "DEBUG", "trace", "off"}) EXPECT_FALSE(LogLevelNamed(name)) << name;
}

}  // namespace
}  // namespace berth::telemetry
