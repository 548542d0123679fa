// What the tests of network/ share: a folder of their own, a list file, a runner that runs nothing.
#pragma once

#include <signal.h>
#include <stdlib.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "network/plugin.h"

namespace berth::network {

// As in all our programs: a plugin that ends without reading its input must not end us.
inline const bool kSigpipeIgnored = signal(SIGPIPE, SIG_IGN) != SIG_ERR;

class TempFolder {
 public:
  TempFolder() {
    std::string name = testing::TempDir() + "berth-network-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { EXPECT_TRUE(path_.empty() || base::RemoveTree(path_)); }
  const base::Path& path() const { return path_; }

 private:
  base::Path path_;
};

inline void Write(const base::Path& path, std::string_view text, mode_t mode = 0644) {
  ASSERT_TRUE(base::MakeDirs(path.parent_path()));
  ASSERT_TRUE(base::WriteFile(path, text, mode));
}

// What is shared with the test while the network owns the runner.
struct FakeCalls {
  struct Call {
    std::string type;
    std::string command;
    Environment variables;
    nlohmann::json input;
  };
  struct Answer {
    std::string output;
    int code = 0;
    std::optional<base::Error> error;
  };
  using Answerer = std::function<Answer(const Call&)>;

  std::mutex mutex;
  std::vector<Call> calls;
  std::map<std::string, Answerer> answers;  // by "type COMMAND"; others give nothing and succeed
  std::set<std::string> missing;            // binaries that are not there
  base::Path binary = "/bin/true";          // where all others are

  // "ADD bridge", ... in the order of the calls, VERSION left out.
  std::vector<std::string> Commands() {
    const std::lock_guard lock(mutex);
    std::vector<std::string> out;
    for (const Call& call : calls) out.push_back(call.command + " " + call.type);
    return out;
  }
  const Call& At(size_t index) {
    const std::lock_guard lock(mutex);
    return calls.at(index);
  }
  void Answers(const std::string& key, const std::string& output) {
    answers[key] = [output](const Call&) { return Answer{.output = output}; };
  }
  void Fails(const std::string& key, const std::string& text, int code = 100) {
    answers[key] = [text, code](const Call&) {
      return Answer{.code = code, .error = base::Error{.code = base::Code::kInternal, .message = text}};
    };
  }
};

class FakeRunner : public PluginRunner {
 public:
  explicit FakeRunner(std::shared_ptr<FakeCalls> calls) : calls_(std::move(calls)) {}

  base::Result<std::string> Exec(std::string_view type, std::string_view command, const Environment& variables,
                                 std::string_view config, const base::Context& context, int* code) override {
    RETURN_IF_ERROR(context.Check(type));
    const FakeCalls::Call call{std::string(type), std::string(command), variables, nlohmann::json::parse(config)};
    FakeCalls::Answerer answerer;
    {
      const std::lock_guard lock(calls_->mutex);
      calls_->calls.push_back(call);
      const auto found = calls_->answers.find(call.type + " " + call.command);
      if (found != calls_->answers.end()) answerer = found->second;
    }
    const FakeCalls::Answer answer = answerer ? answerer(call) : FakeCalls::Answer{};
    if (code != nullptr) *code = answer.code;
    if (answer.error) return tl::make_unexpected(*answer.error);
    return answer.output;
  }

  base::Result<base::Path> Find(std::string_view type) const override {
    if (calls_->missing.contains(std::string(type))) {
      return base::Fail(base::Code::kNotFound, "plugin ", type, " not found in /nowhere");
    }
    return calls_->binary;
  }

 private:
  std::shared_ptr<FakeCalls> calls_;
};

}  // namespace berth::network
