// GetContainerEvents: one listener's stream.
#pragma once

#include <memory>

#include <grpcpp/grpcpp.h>
#include <boost/asio/io_context.hpp>

#include "server/call_log.h"
#include "server/events.h"

namespace berth::server {

// Owns itself. Everything but OnCancel and OnDone happens on the event loop. The headers are sent once it listens.
// While a write waits for the client the listener's queue fills, and no thread waits with it.
class EventStream : public grpc::ServerWriteReactor<cri::ContainerEventResponse> {
 public:
  EventStream(Events& events, boost::asio::io_context& loop, CallLog log);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Begin();
  void Pump();
  void End(base::Error error);

  Events& events_;
  boost::asio::io_context& loop_;
  CallLog log_;
  std::shared_ptr<Events::Listener> listener_;
  const std::shared_ptr<EventStream*> self_ = std::make_shared<EventStream*>(this);  // a wake may come late
  Event event_;                                                                      // being written
  bool writing_ = false;
  bool cancelled_ = false;
  bool ended_ = false;
};

}  // namespace berth::server
