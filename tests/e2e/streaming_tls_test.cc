// Exec over https: a client that verifies, ours, and a certificate that is replaced under the running daemon.
#include "base/strings.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

class StreamingTls : public SleepingNode {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/openssl")) GTEST_SKIP() << "openssl is not installed";
    SleepingNode::SetUp();
  }
  Daemon::Options DaemonOptions() override {
    auto out = SleepingNode::DaemonOptions();
    out.settings["streaming.tls_cert"] = (out.folder / "cert.pem").native();
    out.settings["streaming.tls_key"] = (out.folder / "key.pem").native();
    return out;
  }
  void Prepare() override { MakeCertificate("first"); }

  static base::RunResult OpenSsl(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.begin(), "openssl");
    auto ran = base::Run({.spawn = {.program = "/usr/bin/openssl", .arguments = std::move(arguments)}, .input = input},
                         base::Context().WithTimeout(std::chrono::seconds(60)));
    EXPECT_TRUE(ran) << ran.error().Text();
    return ran ? *std::move(ran) : base::RunResult();
  }
  // Puts both files in place whole.
  void MakeCertificate(const std::string& name) {
    const auto file = [&](const char* of) { return (folder() / of).native(); };
    const auto made = OpenSsl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                               "-keyout", file("key.new"), "-out", file("cert.new"), "-subj", "/CN=" + name, "-addext",
                               "subjectAltName=IP:127.0.0.1"});
    ASSERT_EQ(made.exit.code, 0) << made.errors;
    ASSERT_EQ(rename(file("key.new").c_str(), file("key.pem").c_str()), 0);
    ASSERT_EQ(rename(file("cert.new").c_str(), file("cert.pem").c_str()), 0);
  }
  std::string Url(const std::string& script, const Wanted& wanted = {}) {
    return ExecUrl(made_.container, Sh(script), wanted);
  }
  // What openssl's own client is shown.
  std::string Subject() {
    const std::string url = Url("true");
    const auto shown = OpenSsl({"s_client", "-connect", url.substr(8, url.find('/', 8) - 8)});
    const auto subject = OpenSsl({"x509", "-noout", "-subject"}, shown.output);
    return std::string(base::Trim(subject.output));
  }
  base::SpawnOptions Verifying(std::vector<std::string> arguments) {
    base::SpawnOptions out = PeerCommand(std::move(arguments));
    out.environment.push_back(base::Cat("SSL_CERT_FILE=", (folder() / "cert.pem").native()));
    out.environment.emplace_back("SSL_CERT_DIR=/nowhere");
    return out;
  }
};
ON_EVERY_RUNTIME(StreamingTls);

TEST_P(StreamingTls, ClientsThatVerifyAndOursAreServed) {
  EXPECT_THAT(Url("true"), testing::StartsWith("https://127.0.0.1:"));
  Beside peer = Start(Verifying({"remote", "-i", Url("cat", {.input = true})}));
  ASSERT_EQ(write(peer.input.get(), "word\n", 5), 5);
  EXPECT_TRUE(peer.Read("word\n"));
  peer.input.Reset();
  EXPECT_EQ(WaitFor(peer.child).code, 0);
  const auto ours = base::Run(
      {.spawn = Berth({"exec", "-i", made_.container, "sh", "-c", "cat; exit 9"}), .input = std::string(3 << 20, 'x')},
      base::Context().WithTimeout(std::chrono::seconds(60)));
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->exit.code, 9) << ours->errors;
  EXPECT_EQ(ours->output.size(), size_t{1} << 20) << "what is kept of it";
}

TEST_P(StreamingTls, NewCertificateIsForNewConnectionsAndOldOnesGoOn) {
  EXPECT_THAT(Subject(), HasSubstr("first"));
  Beside before = Start(Verifying({"remote", "-i", Url("cat", {.input = true})}));
  ASSERT_EQ(write(before.input.get(), "one\n", 4), 4);
  ASSERT_TRUE(before.Read("one\n"));
  MakeCertificate("second");
  EXPECT_THAT(Subject(), HasSubstr("second"));
  Beside after = Start(Verifying({"remote", Url("echo fresh")}));
  EXPECT_TRUE(after.Read("fresh\n"));
  WaitFor(after.child);
  ASSERT_EQ(write(before.input.get(), "two\n", 4), 4);
  EXPECT_TRUE(before.Read("two\n"));
  before.input.Reset();
  EXPECT_EQ(WaitFor(before.child).code, 0);
}

TEST_P(StreamingTls, FilesThatAreNoUseLeaveTheFormerCertificate) {
  ASSERT_STATUS_OK(base::WriteFile(folder() / "cert.pem", "nonsense"));
  EXPECT_THAT(Subject(), HasSubstr("first"));
  EXPECT_THAT(daemon().Log(), HasSubstr("cert.pem"));
}

}  // namespace
}  // namespace berth::e2e
