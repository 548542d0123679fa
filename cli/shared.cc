#include <unistd.h>

#include <google/protobuf/util/json_util.h>

#include "base/file.h"
#include "cli/commands.h"

namespace berth::cli {

void Print(std::string_view text) {
  (void)base::WriteAll(STDOUT_FILENO, text, "standard output");
}
void Note(std::string_view text) {
  (void)base::WriteAll(STDERR_FILENO, base::Cat(text, "\n"), "standard error");
}

std::string ToJsonText(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string out;
  // Fails only for malformed Any values, of which the API has none.
  (void)google::protobuf::util::MessageToJsonString(message, &out, options).ok();
  return out;
}

base::Result<Objects> LoadObjects(Session& session) {
  Objects out;
  ASSIGN_OR_RETURN(out.pods, session.client.ListPodSandbox(session.context));
  ASSIGN_OR_RETURN(out.containers, session.client.ListContainers(session.context));
  return out;
}

base::Result<int> ForEach(const std::vector<std::string>& names,
                          const std::function<base::Status(const std::string&)>& work) {
  base::Status first;
  for (const std::string& name : names) {
    base::Status done = work(name);
    if (done) {
      Print(name + "\n");
    } else if (first) {
      first = std::move(done);
    } else {
      Note(base::Cat("berth: ", done.error().Text()));
    }
  }
  RETURN_IF_ERROR(std::move(first));
  return 0;
}

}  // namespace berth::cli
