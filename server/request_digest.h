// How a retry is recognised: the same request, to the byte.
#pragma once

#include <string>

#include <google/protobuf/message_lite.h>

namespace berth::server {

// Equal for equal messages, whatever order maps were sent in.
std::string RequestDigest(const google::protobuf::MessageLite& request);

}  // namespace berth::server
