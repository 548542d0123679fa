#include "server/pull_progress.h"

#include <atomic>
#include <chrono>
#include <memory>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "image/reference.h"

namespace berth::server {
namespace {

using berth::v1::PullProgressEvent;
constexpr auto kTick = std::chrono::milliseconds(100);

berth::v1::LayerState StateOf(const image::LayerProgress& layer) {
  switch (layer.state) {
    case image::LayerState::kWaiting: return berth::v1::LAYER_WAITING;
    case image::LayerState::kTransferring: return layer.done < layer.total ? berth::v1::LAYER_DOWNLOADING : berth::v1::LAYER_UNPACKING;
    case image::LayerState::kDone: return layer.done == 0 && layer.total > 0 ? berth::v1::LAYER_PRESENT : berth::v1::LAYER_DONE;
  }
  return berth::v1::LAYER_WAITING;
}

// One follower. Everything but OnCancel and OnDone happens on the event loop; a tick looks at the puller's snapshot.
class Follower : public grpc::ServerWriteReactor<PullProgressEvent> {
 public:
  Follower(image::Puller& puller, boost::asio::io_context& loop, std::string reference)
      : puller_(puller), loop_(loop), timer_(loop), reference_(std::move(reference)) {
    boost::asio::post(loop_, [this] { Tick(); });
  }

  void OnWriteDone(bool ok) override {
    boost::asio::post(loop_, [this, ok] {
      writing_ = false;
      if (!ok || event_.finished()) End();
    });
  }
  void OnCancel() override {
    boost::asio::post(loop_, [this] { End(); });
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
    event.set_reference(reference_);
    bool found = false;
    for (const image::PullProgress& pull : puller_.InFlight()) {
      if (pull.reference != reference_) continue;
      found = true;
      for (const image::LayerProgress& layer : pull.layers) {
        berth::v1::LayerProgress& item = *event.add_layers();
        item.set_digest(layer.digest.str());
        item.set_total_bytes(layer.total);
        item.set_done_bytes(layer.done);
        item.set_state(StateOf(layer));
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

  void End() {
    if (std::exchange(ended_, true)) return;
    timer_.cancel();
    Finish(grpc::Status::OK);
  }

  image::Puller& puller_;
  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  const std::string reference_;
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

grpc::ServerWriteReactor<PullProgressEvent>* BerthService::PullProgress(grpc::CallbackServerContext*,
                                                                        const berth::v1::PullProgressRequest* request) {
  const auto reference = image::Reference::Parse(request->reference());
  if (!reference) return new Refused(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, reference.error().message));
  return new Follower(puller_, loop_, reference->Full());
}

}  // namespace berth::server
