// The command `timeline`.
#pragma once

#include "cli/commands.h"

namespace berth::cli {

void AddTimelineCommands(CLI::App& app, Command& chosen);

}  // namespace berth::cli
