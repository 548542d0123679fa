#include "cli/timeline_picture.h"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/time.h"
#include "cli/text.h"
#include "json/json.h"

namespace berth::cli {
namespace {

constexpr int64_t kColumns = 40;
constexpr std::string_view kWhat = "timeline";

std::string Milliseconds(int64_t nanos) {
  char out[32];
  std::snprintf(out, sizeof out, "%.1f ms", static_cast<double>(nanos) / 1e6);
  return out;
}

std::string Right(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

// Even the shortest step has a mark: that it was there matters.
std::string Bar(const PictureOperation& operation, const PictureStep& step) {
  // The numbers are the daemon's, and clocks jump: nothing lies outside.
  const auto column = [&](double after_start) {
    const double share = after_start / static_cast<double>(std::max<int64_t>(operation.duration, 1));
    return static_cast<int64_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(kColumns) + 0.5);
  };
  const double offset = static_cast<double>(step.started_at) - static_cast<double>(operation.started_at);
  const int64_t begin = std::min(column(offset), kColumns - 1);
  const int64_t end = std::max(column(offset + static_cast<double>(step.duration)), begin + 1);
  std::string out(static_cast<size_t>(kColumns), ' ');
  out.replace(static_cast<size_t>(begin), static_cast<size_t>(end - begin), static_cast<size_t>(end - begin), '#');
  return "|" + out + "|";
}

std::string Moment(int64_t unix_nanos) {
  std::string text = base::Rfc3339(unix_nanos);
  text[10] = ' ';
  return text.substr(0, 23) + " UTC";
}

}  // namespace

base::Result<std::vector<PictureOperation>> ParseTimeline(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json list, json::Parse(text, kWhat));
  if (!list.is_array()) return base::Fail(base::Code::kInvalidArgument, kWhat, ": not a list");
  std::vector<PictureOperation> out;
  for (const nlohmann::json& each : list) {
    json::Reader reader(each, kWhat);
    PictureOperation operation{.operation = reader.Text("operation"),
                               .code = reader.Text("code"),
                               .started_at = reader.Number("startedAt"),
                               .duration = reader.Number("durationNanos"),
                               .steps = {}};
    RETURN_IF_ERROR(reader.status());
    ASSIGN_OR_RETURN(const nlohmann::json* steps, json::Array(each, "steps", kWhat));
    for (size_t i = 0; steps != nullptr && i < steps->size(); ++i) {
      json::Reader step((*steps)[i], kWhat);
      operation.steps.push_back({step.Text("stage"), step.Number("startedAt"), step.Number("durationNanos")});
      RETURN_IF_ERROR(step.status());
    }
    out.push_back(std::move(operation));
  }
  return out;
}

std::string DrawTimeline(const std::vector<PictureOperation>& operations) {
  size_t width = 0;
  for (const PictureOperation& operation : operations) {
    for (const PictureStep& step : operation.steps) width = std::max(width, Milliseconds(step.duration).size());
  }
  Table table({"", "", ""});
  std::vector<std::string> headings;
  for (const PictureOperation& operation : operations) {
    headings.push_back(base::Cat(operation.operation, operation.code.empty() ? "" : " (" + operation.code + ")", "  ",
                                 Milliseconds(operation.duration), "  ", Moment(operation.started_at), "\n"));
    for (const PictureStep& step : operation.steps) {
      table.Add({"  " + step.stage, Right(Milliseconds(step.duration), width), Bar(operation, step)});
    }
  }
  // One table for all, so that the bars stand below each other.
  const std::string rows = table.Text();
  size_t at = rows.find('\n') + 1;
  std::string out;
  for (size_t i = 0; i < operations.size(); ++i) {
    out += headings[i];
    for (size_t step = 0; step < operations[i].steps.size(); ++step) {
      const size_t end = rows.find('\n', at) + 1;
      out += rows.substr(at, end - at);
      at = end;
    }
  }
  return out;
}

}  // namespace berth::cli
