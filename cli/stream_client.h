// The client's side of the daemon's streaming server: from a URL to a SPDY connection.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/result.h"
#include "spdy/connection.h"

namespace berth::cli {

// Connects and upgrades to the one protocol. Blocks until the server has answered. A certificate is not verified: the
// URL came over the daemon's own socket, and it is this machine's.
base::Result<std::shared_ptr<spdy::Connection>> OpenStreams(boost::asio::io_context& loop, const std::string& url,
                                                            const std::string& protocol);

// Exec and attach report their end as a JSON status: the exit code, or why there is none.
base::Result<int> CodeOfStatus(const std::string& status);

}  // namespace berth::cli
