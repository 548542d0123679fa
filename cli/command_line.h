// The command line as a whole: options for every command, then one command.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"

namespace CLI {
class App;
}

namespace berth::cli {

// What `run` and `exec` are given for the container is not ours to parse: after the image or container everything
// belongs to its command, options included. One "--" in between is left out.
struct CommandLine {
  std::vector<std::string> ours;
  std::vector<std::string> command;
};
CommandLine SplitCommandLine(const CLI::App& app, const std::vector<std::string>& arguments);

// Parses (arguments without the program's name), runs, writes errors with what to do next to standard error. The exit
// code.
int RunCommandLine(const std::vector<std::string>& arguments, const base::Context& context);

}  // namespace berth::cli
