#include "server/streaming/outcome.h"

#include <nlohmann/json.hpp>

#include "json/json.h"

namespace berth::streaming {

std::string StatusText(const Outcome& outcome, int version) {
  const std::string code = std::to_string(outcome.code & 0xff);  // clients parse eight bits
  nlohmann::json status = {{"metadata", nlohmann::json::object()}, {"status", "Failure"}};
  switch (outcome.kind) {
    case Outcome::Kind::kSuccess:
      if (version < 4) return {};
      status["status"] = "Success";
      break;
    case Outcome::Kind::kExitCode:
      status["message"] = "command terminated with non-zero exit code: exit code " + code;
      status["reason"] = "NonZeroExitCode";
      status["details"]["causes"] = nlohmann::json::array({{{"reason", "ExitCode"}, {"message", code}}});
      break;
    case Outcome::Kind::kFailure:
      status["message"] = "Internal error occurred: " + outcome.message;
      status["reason"] = "InternalError";
      status["code"] = 500;
      break;
  }
  return version < 4 ? status["message"].get<std::string>() : json::Dump(status);
}

}  // namespace berth::streaming
