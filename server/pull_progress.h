// berth.v1.Berth, the client's own service: what pulls in flight are at, from the puller's own figures.
#pragma once

#include <boost/asio/io_context.hpp>

#include "cri-proto/berth.grpc.pb.h"
#include "image/pull.h"

namespace berth::server {

class BerthService : public berth::v1::Berth::CallbackService {
 public:
  BerthService(image::Puller& puller, boost::asio::io_context& loop) : puller_(puller), loop_(loop) {}
  grpc::ServerWriteReactor<berth::v1::PullProgressEvent>* PullProgress(grpc::CallbackServerContext* context,
                                                                       const berth::v1::PullProgressRequest* request) override;

 private:
  image::Puller& puller_;
  boost::asio::io_context& loop_;
};

}  // namespace berth::server
