#include "server/pull_progress.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "image/check.h"
#include "image/reference.h"
#include "server/telemetry/log.h"
#include "server/unary.h"

namespace berth::server {
namespace {

using berth::v1::PullProgressEvent;
constexpr auto kTick = std::chrono::milliseconds(100);

berth::v1::LayerState StateOf(const image::LayerProgress& layer) {
  switch (layer.state) {
    case image::LayerState::kWaiting:
      return berth::v1::LAYER_WAITING;
    case image::LayerState::kTransferring:
      return layer.done < layer.total ? berth::v1::LAYER_DOWNLOADING : berth::v1::LAYER_UNPACKING;
    case image::LayerState::kDone:
      return layer.done == 0 && layer.total > 0 ? berth::v1::LAYER_PRESENT : berth::v1::LAYER_DONE;
  }
  return berth::v1::LAYER_WAITING;
}

void Describe(const image::LayerProgress& layer, berth::v1::LayerProgress& item) {
  item.set_digest(layer.digest.str());
  item.set_total_bytes(layer.total);
  item.set_done_bytes(layer.done);
  item.set_state(StateOf(layer));
}

base::Result<berth::v1::LoadImagesResponse> Load(image::Puller& puller, const std::string& path,
                                                 const base::Context& context) {
  if (!path.starts_with('/')) return base::Fail(base::Code::kInvalidArgument, "the archive's path is not absolute");
  ASSIGN_OR_RETURN(const auto images, puller.Import(path, context));
  berth::v1::LoadImagesResponse reply;
  for (const image::ImportedImage& image : images) {
    berth::v1::LoadedImage& item = *reply.add_images();
    item.set_id(image.image_id.str());
    for (const std::string& name : image.names) item.add_names(name);
  }
  return reply;
}

base::Result<berth::v1::ListPullsResponse> PullsInFlight(image::Puller& puller) {
  berth::v1::ListPullsResponse reply;
  for (const image::PullProgress& pull : puller.InFlight()) {
    berth::v1::PullInFlight& item = *reply.add_pulls();
    item.set_reference(pull.reference);
    item.set_stage(pull.stage);
    for (const image::LayerProgress& layer : pull.layers) Describe(layer, *item.add_layers());
  }
  return reply;
}

base::Result<berth::v1::CheckImagesResponse> Check(image::Store& images, const berth::v1::CheckImagesRequest& request,
                                                   const base::Context& context) {
  ASSIGN_OR_RETURN(const image::CheckReport report,
                   image::CheckStore(images, {.contents = request.contents(), .repair = request.repair()}, context));
  berth::v1::CheckImagesResponse reply;
  reply.set_images(static_cast<int64_t>(report.images));
  reply.set_layers(static_cast<int64_t>(report.layers));
  reply.set_unverifiable(static_cast<int64_t>(report.unverifiable));
  for (const image::StoreProblem& problem : report.problems)
    reply.add_problems(base::Cat(problem.name, ": ", problem.what));
  for (const std::string& id : report.removed) reply.add_removed(id);
  return reply;
}

base::Result<berth::v1::SetLogLevelResponse> SetLevel(const std::string& name) {
  if (!name.empty()) {
    const auto level = telemetry::LogLevelNamed(name);
    if (!level) return base::Fail(base::Code::kInvalidArgument, "the level is not debug, info, warning or error");
    telemetry::SetLogLevel(*level);
  }
  berth::v1::SetLogLevelResponse reply;
  reply.set_level(std::string(telemetry::LogLevelName()));
  return reply;
}

// One follower. Everything but OnCancel and OnDone happens on the event loop; a tick looks at the puller's snapshot.
class Follower : public grpc::ServerWriteReactor<PullProgressEvent> {
 public:
  Follower(image::Puller& puller, boost::asio::io_context& loop, std::vector<std::string> names, CallLog log)
      : puller_(puller), loop_(loop), timer_(loop), names_(std::move(names)), log_(std::move(log)) {
    boost::asio::post(loop_, [this] { Tick(); });
  }

  void OnWriteDone(bool ok) override {
    boost::asio::post(loop_, [this, ok] {
      writing_ = false;
      if (!ok || event_.finished()) End(ok);
    });
  }
  void OnCancel() override {
    boost::asio::post(loop_, [this] { End(false); });
  }
  void OnDone() override {
    boost::asio::post(loop_, [this] { delete this; });
  }

 private:
  void Tick() {
    if (ended_) return;
    if (!writing_) Look();
    timer_.expires_after(kTick);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) Tick();
    });
  }

  void Look() {
    PullProgressEvent event;
    bool found = false;
    for (const image::PullProgress& pull : puller_.InFlight()) {
      if (std::ranges::find(names_, pull.reference) == names_.end()) continue;
      found = true;
      event.set_reference(pull.reference);
      for (const image::LayerProgress& layer : pull.layers) {
        Describe(layer, *event.add_layers());
      }
      break;
    }
    if (!found && !seen_) return;
    if (!found) {
      event = event_;
      event.set_finished(true);
    } else if (seen_ && event.SerializeAsString() == event_.SerializeAsString()) {
      return;
    }
    seen_ = true;
    event_ = std::move(event);
    writing_ = true;
    StartWrite(&event_);
  }

  void End(bool told) {
    if (std::exchange(ended_, true)) return;
    timer_.cancel();
    if (told) {
      log_.Done(berth::v1::PullProgressRequest(), event_);
      return Finish(grpc::Status::OK);
    }
    const base::Error left{.code = base::Code::kCancelled, .message = "the client has left"};
    log_.Failed(berth::v1::PullProgressRequest(), left);
    Finish(ToGrpc(left));
  }

  image::Puller& puller_;
  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  const std::vector<std::string> names_;  // what the text may stand for
  CallLog log_;
  PullProgressEvent event_;
  bool seen_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

class Refused : public grpc::ServerWriteReactor<PullProgressEvent> {
 public:
  explicit Refused(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<PullProgressEvent>* BerthService::PullProgress(grpc::CallbackServerContext* context,
                                                                        const berth::v1::PullProgressRequest* request) {
  CallLog log("PullProgress", telemetry_, CallerOf(*context));
  const auto candidates = puller_.Candidates(request->reference());
  if (!candidates) {
    const base::Error error{.code = base::Code::kInvalidArgument, .message = candidates.error().message};
    log.Failed(*request, error);
    return new Refused(ToGrpc(error));
  }
  std::vector<std::string> names;
  for (const image::Reference& reference : *candidates) names.push_back(reference.Full());
  return new Follower(puller_, loop_, std::move(names), std::move(log));
}

grpc::ServerUnaryReactor* BerthService::LoadImages(grpc::CallbackServerContext* context,
                                                   const berth::v1::LoadImagesRequest* request,
                                                   berth::v1::LoadImagesResponse* reply) {
  auto* call = new UnaryCall<berth::v1::LoadImagesRequest, berth::v1::LoadImagesResponse>(*context, *request, reply,
                                                                                          "LoadImages", telemetry_);
  call->Start(&executor_, [this](const berth::v1::LoadImagesRequest& given, const base::Context& own) {
    return Load(puller_, given.path(), own);
  });
  return call;
}

grpc::ServerUnaryReactor* BerthService::CheckImages(grpc::CallbackServerContext* context,
                                                    const berth::v1::CheckImagesRequest* request,
                                                    berth::v1::CheckImagesResponse* reply) {
  auto* call = new UnaryCall<berth::v1::CheckImagesRequest, berth::v1::CheckImagesResponse>(*context, *request, reply,
                                                                                            "CheckImages", telemetry_);
  call->Start(&executor_, [this](const berth::v1::CheckImagesRequest& given, const base::Context& own) {
    return Check(images_, given, own);
  });
  return call;
}

grpc::ServerUnaryReactor* BerthService::SetLogLevel(grpc::CallbackServerContext* context,
                                                    const berth::v1::SetLogLevelRequest* request,
                                                    berth::v1::SetLogLevelResponse* reply) {
  auto* call = new UnaryCall<berth::v1::SetLogLevelRequest, berth::v1::SetLogLevelResponse>(*context, *request, reply,
                                                                                            "SetLogLevel", telemetry_);
  call->Start(nullptr,
              [](const berth::v1::SetLogLevelRequest& given, const base::Context&) { return SetLevel(given.level()); });
  return call;
}

grpc::ServerUnaryReactor* BerthService::ListPulls(grpc::CallbackServerContext* context,
                                                  const berth::v1::ListPullsRequest* request,
                                                  berth::v1::ListPullsResponse* reply) {
  auto* call = new UnaryCall<berth::v1::ListPullsRequest, berth::v1::ListPullsResponse>(*context, *request, reply,
                                                                                        "ListPulls", telemetry_);
  call->Start(nullptr,
              [this](const berth::v1::ListPullsRequest&, const base::Context&) { return PullsInFlight(puller_); });
  return call;
}

}  // namespace berth::server
