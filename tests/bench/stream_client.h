// The cheapest client of a streaming exec: a socket that is read and written, so that what is measured is the server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "spdy/frame.h"
#include "spdy/header_block.h"

namespace berth::bench {

class StreamClient final : private spdy::FrameVisitor {
 public:
  // Connects and upgrades.
  static base::Result<std::unique_ptr<StreamClient>> Open(const std::string& url);

  // Streams 1, 3, 5 and so on, one for each type.
  base::Status OpenStreams(const std::vector<std::string>& types);
  // `total` bytes on `stream` and its end, in frames as the clients that matter send them.
  base::Status SendAll(uint32_t stream, size_t total);
  // Until the server has said that it is done: what has come on other streams than the first, which must say Success.
  base::Result<size_t> Drain();

 private:
  base::Status OnControl(const spdy::Control& control) override;
  base::Status OnData(uint32_t stream, std::string_view piece, bool fin) override;

  base::UniqueFd socket_;
  spdy::HeaderDeflater deflater_;
  spdy::FrameReader reader_{*this};
  std::string status_;
  size_t received_ = 0;
  bool over_ = false;
};

}  // namespace berth::bench
