// A proxy before a real registry that breaks what a test tells it to.
#pragma once

#include <functional>
#include <string>

#include "image/http.h"
#include "tests/unit/image/fake_registry.h"

namespace berth::e2e {

class FaultProxy {
 public:
  using Request = image::fake::FakeRequest;
  using Answer = image::fake::FakeAnswer;
  // What the client gets; `real` asks the registry. Called from several threads at once.
  using Rule = std::function<Answer(const Request& request, const std::function<Answer()>& real)>;

  explicit FaultProxy(std::string registry_host);
  void SetRule(Rule rule);

  Answer Real(const Request& request);

  std::string host() const { return http_.host(); }
  std::string Name(const std::string& name) const { return http_.host() + "/e2e/" + name; }
  std::vector<Request> requests() const { return http_.requests(); }
  int Count(const std::string& method, const std::string& part) const { return http_.Count(method, part); }

 private:
  const std::string registry_host_;
  image::HttpClient client_;
  image::fake::FakeRegistry http_;  // last: its threads use the rest
};

}  // namespace berth::e2e
