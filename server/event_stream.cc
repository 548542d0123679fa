#include "server/event_stream.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "server/unary.h"

namespace berth::server {

namespace asio = boost::asio;

EventStream::EventStream(Events& events, asio::io_context& loop, CallLog log)
    : events_(events), loop_(loop), log_(std::move(log)) {
  asio::post(loop_, [this] { Begin(); });
}

void EventStream::Begin() {
  const std::weak_ptr<EventStream*> weak = self_;
  listener_ = events_.Listen([weak, &loop = loop_] {
    asio::post(loop, [weak] {
      if (const auto self = weak.lock()) (*self)->Pump();
    });
  });
  if (!cancelled_) StartSendInitialMetadata();
  Pump();
}

void EventStream::Pump() {
  if (writing_ || ended_) return;
  if (cancelled_) return End({.code = base::Code::kCancelled, .message = "the client has left"});
  auto next = listener_->Take();
  if (!next) return End(std::move(next).error());
  if (!*next) return;
  event_ = *std::move(next);
  writing_ = true;
  StartWrite(event_.get());
}

void EventStream::OnWriteDone(bool ok) {
  asio::post(loop_, [this, ok] {
    writing_ = false;
    cancelled_ = cancelled_ || !ok;
    Pump();
  });
}

void EventStream::OnCancel() {
  asio::post(loop_, [this] {
    cancelled_ = true;
    Pump();
  });
}

void EventStream::OnDone() {
  asio::post(loop_, [this] { delete this; });
}

void EventStream::End(base::Error error) {
  ended_ = true;
  listener_.reset();
  log_.Failed(cri::GetEventsRequest(), error);
  Finish(ToGrpc(error));
}

}  // namespace berth::server
