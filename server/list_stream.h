// The streaming forms of the lists: the unary handler's answer is the snapshot, sent in chunks, then OK. An empty list
// ends without a message.
#pragma once

#include <utility>

#include "server/chunk.h"
#include "server/unary.h"

namespace berth::server {

// Owns itself; gRPC calls OnDone once, after Finish.
template <typename Request, typename ListRequest, typename List, typename Message, typename Item>
class ListStream : public grpc::ServerWriteReactor<Message> {
 public:
  using Items = google::protobuf::RepeatedPtrField<Item>;
  // `list` only says which type the unary request has.
  ListStream(const grpc::CallbackServerContext& context, const Request& request, const ListRequest*,
             google::protobuf::RepeatedPtrField<Item>* (List::*list_items)(),
             google::protobuf::RepeatedPtrField<Item>* (Message::*message_items)(), CallLog log)
      : list_items_(list_items),
        message_items_(message_items),
        context_(base::Context::Make(log.id(), Deadline(context))),
        log_(std::move(log)) {
    if constexpr (requires { request.filter(); }) *request_.mutable_filter() = request.filter();
  }

  void Start(base::Executor* executor, Handler<ListRequest, List> handler) {
    if (executor == nullptr) return Run(handler);
    base::Status accepted = executor->Submit([this, handler = std::move(handler)] { Run(handler); });
    if (!accepted) End(std::move(accepted).error());
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End({.code = base::Code::kCancelled, .message = "the client has left"});
    Next();
  }
  void OnCancel() override { context_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Run(const Handler<ListRequest, List>& handler) {
    base::Result<List> list = handler(request_, context_);
    if (!list) return End(std::move(list).error());
    list_ = *std::move(list);
    Next();
  }
  void Next() {
    message_.Clear();
    TakeChunk(*(list_.*list_items_)(), next_, *(message_.*message_items_)());
    if ((message_.*message_items_)()->size() > 0) return this->StartWrite(&message_);
    log_.Done(request_, message_);
    this->Finish(grpc::Status::OK);
  }
  void End(base::Error error) {
    log_.Failed(request_, error);
    this->Finish(ToGrpc(error));
  }

  Items* (List::*const list_items_)();
  Items* (Message::*const message_items_)();
  ListRequest request_;
  base::Context context_;
  CallLog log_;
  List list_;
  int next_ = 0;
  Message message_;
};

}  // namespace berth::server
