// berthd's own figures, as a Prometheus would fetch them.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <map>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kUrl = "http://127.0.0.1:9465/metrics";

class Metrics : public OnNode {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/curl")) GTEST_SKIP() << "curl is not installed";
    OnNode::SetUp();
  }
  static base::RunResult Run(const std::string& program, std::vector<std::string> arguments,
                             const std::string& input = {}) {
    base::RunOptions run{.spawn = {.program = program, .arguments = {program}, .environment = {"PATH=/usr/bin:/bin"}},
                         .input = input,
                         .output_limit = 4 << 20};
    run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
    const auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(60)));
    EXPECT_TRUE(done) << program << ": " << done.error().Text();
    return done.value_or(base::RunResult());
  }
  static base::RunResult Get(std::vector<std::string> arguments = {kUrl}) {
    arguments.insert(arguments.begin(), {"-sS", "-f", "--max-time", "20"});
    return Run("/usr/bin/curl", std::move(arguments));
  }
  static std::string Text() {
    const base::RunResult got = Get();
    EXPECT_EQ(got.exit.code, 0) << got.errors;
    return got.output;
  }
  // Series, as they are written, and their values.
  static std::map<std::string, double> Scrape() {
    std::map<std::string, double> out;
    const std::string text = Text();
    for (const std::string_view line : base::Split(text, '\n')) {
      const size_t blank = line.rfind(' ');
      if (line.empty() || line.front() == '#' || blank == std::string_view::npos) continue;
      out[std::string(line.substr(0, blank))] = std::stod(std::string(line.substr(blank + 1)));
    }
    return out;
  }
  static double Value(const std::string& series) {
    const auto all = Scrape();
    const auto found = all.find(series);
    return found == all.end() ? -1 : found->second;
  }
  // The daemon anew, with more of the configuration.
  void Configure(const std::map<std::string, std::string>& settings) {
    auto options = daemon().options();
    for (const auto& [key, value] : settings) options.settings[key] = value;
    ASSERT_STATUS_OK(Daemon(options).WriteFiles());
    Restart(/*kill=*/false);
  }
};

TEST_F(Metrics, EveryStepOfAContainersLifeIsCounted) {
  const Made made = RunContainer({"sleep", "1000"});
  ASSERT_CALL_OK(cri().Exec(made.container, {"true"}));
  EXPECT_FALSE(cri().Status("nothing").ok());
  auto all = Scrape();
  for (const char* series :
       {R"(berth_rpc_requests_total{code="OK",method="RunPodSandbox"})",
        R"(berth_rpc_requests_total{code="OK",method="ExecSync"})",
        R"(berth_rpc_requests_total{code="NOT_FOUND",method="ContainerStatus"})",
        R"(berth_rpc_duration_seconds_count{method="StartContainer"})", R"(berth_pods{state="ready"})",
        R"(berth_containers{state="running"})", R"(berth_operations_total{code="OK",operation="CreateContainer"})",
        R"(berth_cni_duration_seconds_count{command="ADD",plugin="bridge"})",
        R"(berth_cni_duration_seconds_count{command="ADD",plugin="portmap"})",
        R"(berth_oci_runtime_duration_seconds_count{operation="create"})",
        R"(berth_oci_runtime_duration_seconds_count{operation="start"})",
        R"(berth_oci_runtime_duration_seconds_count{operation="exec"})",
        R"(berth_operation_steps_total{operation="RunPodSandbox",step="cni ADD bridge"})"}) {
    EXPECT_EQ(all[series], 1) << series;
  }
  for (const char* series :
       {"berth_process_resident_memory_bytes", "berth_process_open_fds", "berth_process_threads",
        "berth_process_cpu_seconds_total",
        R"(berth_operation_step_seconds_total{operation="RunPodSandbox",step="cni ADD bridge"})"}) {
    EXPECT_GT(all[series], 0) << series;
  }
  EXPECT_THAT(Text(), HasSubstr("berth_build_info{version=\""));
  EXPECT_EQ(all[R"(berth_containers{state="exited"})"], 0);
  EXPECT_EQ(all[R"(berth_rpc_in_flight{method="RunPodSandbox"})"], 0);

  ASSERT_CALL_OK(cri().StopPod(made.pod));
  all = Scrape();
  EXPECT_EQ(all[R"(berth_pods{state="not_ready"})"], 1);
  EXPECT_EQ(all[R"(berth_pods{state="ready"})"], 0);
  EXPECT_EQ(all[R"(berth_containers{state="exited"})"], 1);
  EXPECT_EQ(all[R"(berth_container_exits_total{reason="Error"})"], 1);
  EXPECT_EQ(all[R"(berth_cni_duration_seconds_count{command="DEL",plugin="bridge"})"], 1);
}

TEST_F(Metrics, PromtoolFindsNothingToSay) {
  if (!base::Exists("/usr/bin/promtool")) GTEST_SKIP() << "promtool is not installed";
  const Made made = RunContainer({"true"});
  WaitExited(made.container);
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  const base::RunResult checked = Run("/usr/bin/promtool", {"check", "metrics"}, Text());
  EXPECT_EQ(checked.exit.code, 0);
  EXPECT_EQ(checked.output + checked.errors, "");
}

TEST_F(Metrics, PullsAreCountedWithTheReasonWhereTheyFail) {
  ExpectImagesToChange();
  ASSERT_CALL_OK(cri().RemoveImage(Image()));
  ASSERT_CALL_OK(cri().Pull(Image()));
  EXPECT_FALSE(cri().Pull(Image("missing:1")).ok());
  auto all = Scrape();
  EXPECT_GT(all["berth_image_pull_bytes_total"], 100'000);
  EXPECT_GE(all["berth_image_layers_pulled_total"], 1);
  EXPECT_EQ(all[R"(berth_image_pull_failures_total{reason="NOT_FOUND"})"], 1);
  EXPECT_EQ(all["berth_image_pulls_in_flight"], 0);
  const double pulls = all["berth_image_pull_duration_seconds_count"];
  EXPECT_GE(pulls, 2);
  ASSERT_CALL_OK(cri().Pull(Image()));
  EXPECT_EQ(Value("berth_image_pull_duration_seconds_count"), pulls + 1);
}

TEST_F(Metrics, OutOfMemoryAndLostMonitorsAreCounted) {
  const Made full = RunContainer(Sh("head -c 200000000 /dev/zero | tail"), [&](auto&, v1::ContainerConfig& config) {
    config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(32 << 20);
    config.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(32 << 20);
  });
  WaitExited(full.container);
  EXPECT_EQ(Value("berth_container_oom_kills_total"), 1);
  ASSERT_CALL_OK(cri().RemovePod(full.pod));

  const Made made = RunContainer({"sleep", "1000"});
  const auto monitors = ProcessesNamed("berth-monitor");
  ASSERT_EQ(monitors.size(), 1u);
  ASSERT_EQ(::kill(monitors[0], SIGKILL), 0);
  WaitExited(made.container);
  EXPECT_EQ(Value("berth_monitor_deaths_total"), 1);
}

TEST_F(Metrics, FailuresOfPluginsAndWhatTheyLeaveAreCounted) {
  const base::Path broken = folder() / "broken";
  ASSERT_STATUS_OK(base::WriteFile(
      daemon().plugin_folder() / "fickle",
      Cat("#!/bin/sh\ncat > /dev/null\ncase $CNI_COMMAND in ADD|DEL) if [ -e ", broken.native(),
          " ]; then exit 1; fi;; esac\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}'\n"),
      0755));
  ASSERT_STATUS_OK(
      base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(R"({"type":"fickle"})"), 0644));
  ASSERT_STATUS_OK(base::WriteFile(broken, ""));
  Restart();
  EXPECT_FALSE(cri().RunPod(Pod()).ok());
  auto all = Scrape();
  EXPECT_EQ(all[R"(berth_cni_failures_total{command="ADD",plugin="fickle"})"], 1);
  EXPECT_GE(all[R"(berth_cni_failures_total{command="DEL",plugin="fickle"})"], 1);
  EXPECT_EQ(all["berth_leftovers_found_total"], 1);
  EXPECT_EQ(all["berth_leftovers"], 1);
  EXPECT_EQ(all["berth_leftovers_repaired_total"], 0);
  ASSERT_STATUS_OK(base::RemoveFile(broken));
  EXPECT_TRUE(Eventually([] { return Value("berth_leftovers_repaired_total") == 1; }));
  EXPECT_EQ(Value("berth_leftovers"), 0);
}

TEST_F(Metrics, OnlyGetOfTheOnePathIsServed) {
  const auto status = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"-sS", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", "--max-time", "20"});
    return Run("/usr/bin/curl", std::move(arguments)).output;
  };
  EXPECT_EQ(status({kUrl}), "200 text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(status({Cat(kUrl, "?x=y")}), "200 text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(status({"http://127.0.0.1:9465/"}), testing::StartsWith("404 "));
  EXPECT_THAT(status({"http://127.0.0.1:9465/metricsx"}), testing::StartsWith("404 "));
  EXPECT_THAT(status({"-X", "POST", kUrl}), testing::StartsWith("405 "));
}

TEST_F(Metrics, ServedOnAUnixSocket) {
  const base::Path socket = folder() / "metrics.sock";
  Configure({{"metrics.socket", socket.native()}});
  const base::RunResult got = Get({"--unix-socket", socket.native(), "http://localhost/metrics"});
  EXPECT_EQ(got.exit.code, 0) << got.errors;
  EXPECT_THAT(got.output, HasSubstr("berth_build_info"));
  EXPECT_NE(Get().exit.code, 0) << "and on no port";
  struct stat info {};
  ASSERT_EQ(stat(socket.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  ASSERT_STATUS_OK(daemon().Stop());
  EXPECT_FALSE(base::Exists(socket));
  StartAgain();
}

TEST_F(Metrics, ServedOverTls) {
  if (!base::Exists("/usr/bin/openssl")) GTEST_SKIP() << "openssl is not installed";
  const std::string key = folder() / "key.pem";
  const std::string certificate = folder() / "cert.pem";
  ASSERT_EQ(
      Run("/usr/bin/openssl", {"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                               "-days", "2", "-subj", "/CN=berth", "-addext", "subjectAltName=IP:127.0.0.1"})
          .exit.code,
      0);
  Configure({{"metrics.tls_cert", certificate}, {"metrics.tls_key", key}, {"metrics.tls_ca", certificate}});
  const std::string url = "https://127.0.0.1:9465/metrics";
  const base::RunResult got = Get({"--cacert", certificate, "--cert", certificate, "--key", key, url});
  EXPECT_EQ(got.exit.code, 0) << got.errors;
  EXPECT_THAT(got.output, HasSubstr("berth_build_info"));
  EXPECT_NE(Get({"--cacert", certificate, url}).exit.code, 0) << "a client without a certificate";
  EXPECT_NE(Get().exit.code, 0) << "without TLS";
}

TEST_F(Metrics, OffIsOff) {
  Configure({{"metrics.address", "off"}});
  EXPECT_NE(Get().exit.code, 0);
}

// The pods do not need metrics.
TEST_F(Metrics, PortThatIsTakenIsToldAndStopsNothing) {
  ASSERT_STATUS_OK(daemon().Stop());
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(9465), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  const int yes = 1;  // connections of earlier tests linger
  ASSERT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  StartAgain();
  v1::StatusRequest verbose;
  verbose.set_verbose(true);
  EXPECT_TRUE(Eventually([&] {
    const auto status = cri().Call(&v1::RuntimeService::Stub::Status, verbose);
    return status.ok() &&
           status->info().at("config").find("metrics: listen on 127.0.0.1 port 9465") != std::string::npos;
  }));
  EXPECT_NE(RunPod(Pod()), "");
}

}  // namespace
}  // namespace berth::e2e
