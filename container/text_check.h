// Texts of a request that the kernel would read differently than we do.
#pragma once

#include <string>

#include "base/result.h"

namespace google::protobuf {
class Message;
}

namespace berth::container {

// kInvalidArgument, naming the field, when a text in the message or below holds a NUL byte: to the kernel, and to
// runtimes in C, it ends there. Labels and annotations are only handed back, and may.
base::Status CheckTexts(const google::protobuf::Message& message, const std::string& name);

}  // namespace berth::container
