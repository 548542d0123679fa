// Whether an answer goes into one message.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace berth::server {

// kResourceExhausted when it does not; for a list it names the call that sends the same in pieces.
base::Status FitsMessage(std::string_view method, size_t bytes, size_t most);

}  // namespace berth::server
