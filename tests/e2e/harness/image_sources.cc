#include "tests/e2e/harness/image_sources.h"

#include "base/child.h"

namespace berth::e2e {

using base::Cat;
using base::Path;

void ImageSources::SetUp() {
  ExpectImagesToChange();
  OnNode::SetUp();
}

Daemon::Options ImageSources::DaemonOptions() {
  Daemon::Options options = OnNode::DaemonOptions();
  options.settings["image.certificate_dirs"] = Cat("[", (folder() / "certs.d").string(), "]");
  options.settings["image.registries_conf"] = (folder() / "registries.conf").string();
  options.settings["image.auth_files"] = Cat("[", (folder() / "auth.json").string(), "]");
  options.settings["log.level"] = "debug";
  return options;
}

void ImageSources::Write(const std::string& name, const std::string& text) {
  const Path path = folder() / name;
  ASSERT_STATUS_OK(base::MakeDirs(path.parent_path()));
  ASSERT_STATUS_OK(base::WriteFile(path, text));
}

std::string ImageSources::Run(const std::string& program, std::vector<std::string> arguments,
                              const std::string& input) {
  base::RunOptions run{.spawn = {.program = program, .arguments = {program}, .environment = {"PATH=/usr/bin:/bin"}},
                       .input = input};
  run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
  auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(60)));
  EXPECT_TRUE(done && done->exit.code == 0) << program << ": " << (done ? done->errors : done.error().Text());
  return done ? done->output : "";
}

std::string ImageSources::OutputOf(const std::string& image, const std::string& script) {
  Made made =
      RunContainer(Sh(script), [&](auto&, v1::ContainerConfig& config) { config.mutable_image()->set_image(image); });
  if (made.container.empty()) return "not run";
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
  return LogText(made.log());
}

Reply<v1::PullImageResponse> ImageSources::PullAs(const std::string& image, const std::string& user,
                                                  const std::string& password) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(image);
  request.mutable_auth()->set_username(user);
  request.mutable_auth()->set_password(password);
  return cri().Call(&v1::ImageService::Stub::PullImage, request);
}

void ImageSources::ExpectNoPartsLeft() {
  const Path parts = daemon().options().state_root / "images/tmp";
  EXPECT_TRUE(Eventually([&] {
    auto names = base::ListFolder(parts);
    return !names || names->empty();
  })) << parts
      << " is not empty";
}

void ImageSources::MakeCertificate(const std::string& name, const std::string& alternative_name) {
  Run("/usr/bin/openssl", {"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
                           (folder() / (name + ".key")).string(), "-out", (folder() / (name + ".pem")).string(),
                           "-subj", Cat("/CN=", name), "-addext", Cat("subjectAltName=", alternative_name)});
}

std::string ImageSources::HtpasswdLine(const std::string& user, const std::string& password) {
  const std::string hash =
      Run("/usr/bin/python3", {"-c",
                               "import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, "
                               "rounds=1024)), end='')",
                               password});
  return Cat(user, ":", hash, "\n");
}

}  // namespace berth::e2e
