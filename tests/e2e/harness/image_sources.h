// Tests about where images come from: files about registries that the daemon reads, and programs that make what they
// need.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {

// The daemon's files about registries are below folder(): certs.d, registries.conf, auth.json.
class ImageSources : public OnNode {
 protected:
  void SetUp() override;
  Daemon::Options DaemonOptions() override;

  void Write(const std::string& name, const std::string& text);
  // Runs a program to its end, at most 60 s; what it wrote. Anything but exit code 0 fails the test.
  std::string Run(const std::string& program, std::vector<std::string> arguments, const std::string& input = {});
  // What `script` writes in a container of `image`.
  std::string OutputOf(const std::string& image, const std::string& script);
  Reply<v1::PullImageResponse> PullAs(const std::string& image, const std::string& user, const std::string& password);
  bool Listed(const std::string& image) { return cri().ImageStatus(image)->has_image(); }
  void ExpectNoPartsLeft();

  // folder()/<name>.pem and folder()/<name>.key: a certificate that signs itself.
  void MakeCertificate(const std::string& name, const std::string& alternative_name);
  std::string HtpasswdLine(const std::string& user, const std::string& password);
};

}  // namespace berth::e2e
