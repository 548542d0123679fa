// The metrics, the dashboard and the alert rules of contrib/ as a real Prometheus sees them, with a real berthd behind.
#include <fcntl.h>

#include <regex>
#include <set>

#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using nlohmann::json;
using testing::IsSupersetOf;

constexpr const char* kPrometheus = "127.0.0.1:9490";

std::set<std::string> Names(const std::string& text) {
  std::set<std::string> out;
  const std::regex name("berth_[a-z_]+");
  for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
    std::string found = at->str();
    for (const char* suffix : {"_bucket", "_count", "_sum"}) {
      if (found.ends_with(suffix)) found.resize(found.size() - std::string_view(suffix).size());
    }
    out.insert(found);
  }
  return out;
}

class Prometheus : public OnNode {
 protected:
  void SetUp() override {
    for (const char* program : {"/usr/bin/prometheus", "/usr/bin/promtool", "/usr/bin/curl"}) {
      if (!base::Exists(program)) GTEST_SKIP() << program << " is not installed";
    }
    OnNode::SetUp();
  }
  void TearDown() override {
    server_.KillGroup();
    if (server_.pid() > 0) (void)server_.Wait({}, "Prometheus' end");
    OnNode::TearDown();
  }
  static base::Path Contrib(const std::string& name) { return BerthClient().parent_path() / "e2e_contrib" / name; }
  static std::string Text(const std::string& name) { return base::ReadFile(Contrib(name)).value_or(""); }
  static base::RunResult Run(const std::string& program, std::vector<std::string> arguments) {
    base::RunOptions run{.spawn = {.program = program, .arguments = {program}, .environment = {"PATH=/usr/bin:/bin"}},
                         .output_limit = 4 << 20};
    run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
    const auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(60)));
    EXPECT_TRUE(done) << program << ": " << done.error().Text();
    return done.value_or(base::RunResult());
  }

  void StartServer() {
    const base::Path file = folder() / "prometheus.yml";
    ASSERT_STATUS_OK(base::WriteFile(
        file, Cat("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [",
                  Contrib("berth.rules.yml").native(),
                  "]\nscrape_configs:\n  - job_name: berth\n    static_configs: [{targets: ['127.0.0.1:9465']}]\n")));
    auto log = base::Open(folder() / "prometheus.log", O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(log);
    auto child = base::Spawn({.program = "/usr/bin/prometheus",
                              .arguments = {"prometheus", "--config.file=" + file.native(),
                                            Cat("--storage.tsdb.path=", (folder() / "tsdb").native()),
                                            Cat("--web.listen-address=", kPrometheus)},
                              .environment = {"PATH=/usr/bin:/bin"},
                              .fds = {{log->get(), 1}, {log->get(), 2}}});
    ASSERT_TRUE(child) << child.error().Text();
    server_ = *std::move(child);
  }
  static json Ask(const std::string& path, std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(), {"-sS", Cat("http://", kPrometheus, "/api/v1/", path)});
    return json::parse(Run("/usr/bin/curl", std::move(arguments)).output, nullptr, /*allow_exceptions=*/false);
  }
  static json Query(const std::string& expression) {
    return Ask("query", {"-G", "--data-urlencode", "query=" + expression});
  }
  // Of the first series; -1 without one.
  static double Value(const std::string& expression) {
    const json answer = Query(expression);
    if (!answer.is_object() || answer.value("status", "") != "success" || answer["data"]["result"].empty()) return -1;
    return std::stod(answer["data"]["result"][0]["value"][1].get<std::string>());
  }

  base::Child server_;
};

TEST_F(Prometheus, ScrapesAndUnderstandsDashboardAndRules) {
  const Made made = RunContainer({"sleep", "1000"});
  StartServer();
  ASSERT_TRUE(Eventually([] { return Value("up{job=\"berth\"}") == 1; }))
      << base::ReadFile(folder() / "prometheus.log").value_or("");
  EXPECT_EQ(Value("berth_pods{state=\"ready\"}"), 1);
  EXPECT_EQ(Value("berth_cni_duration_seconds_count{plugin=\"bridge\",command=\"ADD\"}"), 1);

  for (const json& panel : json::parse(Text("grafana-dashboard.json")).at("panels")) {
    if (!panel.contains("targets")) continue;
    for (const json& target : panel.at("targets")) {
      std::string expression = target.at("expr");
      for (const auto& [variable, value] : {std::pair("$instance", ".*"), std::pair("$__rate_interval", "1m")}) {
        for (size_t at; (at = expression.find(variable)) != std::string::npos;)
          expression.replace(at, std::string_view(variable).size(), value);
      }
      const json answer = Query(expression);
      EXPECT_EQ(answer.value("status", ""), "success") << expression << ": " << answer;
    }
  }
  const json rules = Ask("rules");
  ASSERT_EQ(rules.value("status", ""), "success");
  const json& group = rules.at("data").at("groups").at(0);
  EXPECT_EQ(group.at("rules").size(), 10u);
  ASSERT_TRUE(Eventually([] {
    for (const json& rule : Ask("rules").at("data").at("groups").at(0).at("rules")) {
      if (rule.at("health") != "ok") return false;
    }
    return true;
  })) << Ask("rules");
  for (const json& rule : Ask("rules").at("data").at("groups").at(0).at("rules"))
    EXPECT_EQ(rule.at("state"), "inactive") << rule;
}

TEST_F(Prometheus, RulesDoWhatTheirTestsSay) {
  const base::RunResult checked = Run("/usr/bin/promtool", {"check", "rules", Contrib("berth.rules.yml")});
  EXPECT_EQ(checked.exit.code, 0) << checked.output << checked.errors;
  const base::RunResult tested = Run("/usr/bin/promtool", {"test", "rules", Contrib("berth.rules.test.yml")});
  EXPECT_EQ(tested.exit.code, 0) << tested.output << tested.errors;
}

// What is served, what is drawn and what alerts is what the page says there is.
TEST_F(Prometheus, EveryNameIsDocumented) {
  std::set<std::string> documented = Names(Text("telemetry.md"));
  const Made made = RunContainer({"true"});
  WaitExited(made.container);
  (void)cri().Pull(Image("missing:1"));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  const base::RunResult scraped = Run("/usr/bin/curl", {"-sS", "-f", "http://127.0.0.1:9465/metrics"});
  ASSERT_EQ(scraped.exit.code, 0) << scraped.errors;
  for (const std::string& name : Names(scraped.output)) {
    if (name.starts_with("berth_process_")) documented.insert(name);  // "berth_process_*"
  }
  EXPECT_THAT(documented, IsSupersetOf(Names(scraped.output)));
  EXPECT_THAT(documented, IsSupersetOf(Names(Text("grafana-dashboard.json"))));
  EXPECT_THAT(documented, IsSupersetOf(Names(Text("berth.rules.yml"))));
}

}  // namespace
}  // namespace berth::e2e
