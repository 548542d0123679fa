// berth.v1.Berth, the client's own service: what pulls in flight are at, from the puller's own figures, archives, and
// the log's level.
#pragma once

#include <boost/asio/io_context.hpp>

#include "base/executor.h"
#include "cri-proto/berth.grpc.pb.h"
#include "image/pull.h"
#include "image/store.h"
#include "server/call_log.h"

namespace berth::server {

class BerthService : public berth::v1::Berth::CallbackService {
 public:
  BerthService(image::Store& images, image::Puller& puller, base::Executor& executor, boost::asio::io_context& loop,
               const Telemetry& telemetry)
      : images_(images), puller_(puller), executor_(executor), loop_(loop), telemetry_(telemetry) {}
  grpc::ServerWriteReactor<berth::v1::PullProgressEvent>* PullProgress(
      grpc::CallbackServerContext* context, const berth::v1::PullProgressRequest* request) override;

  grpc::ServerUnaryReactor* LoadImages(grpc::CallbackServerContext* context,
                                       const berth::v1::LoadImagesRequest* request,
                                       berth::v1::LoadImagesResponse* reply) override;
  grpc::ServerUnaryReactor* CheckImages(grpc::CallbackServerContext* context,
                                        const berth::v1::CheckImagesRequest* request,
                                        berth::v1::CheckImagesResponse* reply) override;
  grpc::ServerUnaryReactor* ListPulls(grpc::CallbackServerContext* context, const berth::v1::ListPullsRequest* request,
                                      berth::v1::ListPullsResponse* reply) override;
  grpc::ServerUnaryReactor* SetLogLevel(grpc::CallbackServerContext* context,
                                        const berth::v1::SetLogLevelRequest* request,
                                        berth::v1::SetLogLevelResponse* reply) override;

 private:
  image::Store& images_;
  image::Puller& puller_;
  base::Executor& executor_;  // of pulls
  boost::asio::io_context& loop_;
  const Telemetry telemetry_;
};

}  // namespace berth::server
