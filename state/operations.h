// Names are operations: a second call with the same key joins the one in flight and gets its answer.
//
//   state::Operations<Reply> operations;
//   return operations.Run({.key = "sandbox/" + name, .fingerprint = digest_of_request, .what = "RunPodSandbox " + name,
//                          .timeout = 4min, .submit = [&](auto work) { return executor.Submit(std::move(work)); },
//                          .body = [=](const base::Context& context, state::Timeline& stage) { ... },
//                          .abandoned = [=](base::Result<Reply> late) { ledger->Settle(); ... }},
//                         context);
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "state/operation_table.h"
#include "state/timeline.h"

namespace berth::state {

// The body's second argument: stage.Enter("cni bridge").
using Stage = Timeline;

// Thread-safe. May be destroyed while bodies still run. R is copied to each waiter: a value or a shared_ptr<const ...>.
//
// Once an operation has ended its key is free and its answer forgotten: a body begins by looking for the finished
// object.
template <typename R>
class Operations {
 public:
  struct Call {
    std::string key;
    std::string fingerprint;  // of the request: the same key with another one in flight is kAlreadyExists
    std::string what;         // "RunPodSandbox default/web", for messages
    std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();  // the operation's own
    // Runs the body elsewhere: on another executor than the caller's, else callers can starve what they wait for.
    std::function<base::Status(std::function<void()>)> submit;
    // Its context ends at the operation's deadline and carries the starter's id; no caller's leaving cancels it.
    std::function<base::Result<R>(const base::Context&, Stage&)> body;
    // Gets the body's result when it returns after the operation was given up; on the body's thread.
    std::function<void(base::Result<R>)> abandoned = nullptr;
    // Told when the body has returned, in time or late, before any caller has its answer; on the body's thread.
    std::function<void(const TimelineSummary&, const base::Result<R>&)> finished = nullptr;
  };

  // Starts or joins, then waits for the end.
  // - the caller's context ends first: kCancelled or kDeadlineExceeded, and the operation goes on;
  // - the operation's deadline comes first: kDeadlineExceeded "<what>: deadline exceeded in stage <stage> after <n> s";
  // its
  //   context is cancelled and its key is free at once, a retry starts anew though the old body may still be stuck;
  // - same key, other fingerprint: kAlreadyExists, naming the stage; not submitted: the error of `submit`.
  base::Result<R> Run(Call call, const base::Context& caller) {
    auto fresh = std::make_shared<Flight>();
    fresh->key = std::move(call.key);
    fresh->fingerprint = std::move(call.fingerprint);
    fresh->what = std::move(call.what);
    fresh->context = base::Context::Make(caller.id()).WithTimeout(call.timeout);
    bool started = false;
    ASSIGN_OR_RETURN(auto joined, table_->JoinOrStart(fresh, started));
    if (started) Start(std::move(call), fresh);
    RETURN_IF_ERROR(table_->Wait(joined, caller));
    return *static_cast<const Flight&>(*joined).result;  // not written again once done
  }

  std::vector<OperationTable::Summary> List() const { return table_->List(); }
  // Cancels the contexts of all that are in flight, for the daemon's end; their callers get what the bodies return.
  void CancelAll() { table_->CancelAll(); }

 private:
  struct Flight : OperationTable::Flight {
    std::optional<base::Result<R>> result;
  };

  void Start(Call call, std::shared_ptr<Flight> flight) {
    auto submit = std::move(call.submit);
    const base::Status status = submit([table = table_, flight, call = std::move(call)] {
      End(*table, *flight, call, call.body(flight->context, flight->timeline));
    });
    if (!status) End(*table_, *flight, {}, base::Result<R>(tl::make_unexpected(status.error())));
  }

  static void End(OperationTable& table, Flight& flight, const Call& call, base::Result<R> result) {
    flight.timeline.Finish();
    if (call.finished) call.finished(flight.timeline.Summary(), result);
    if (!table.Finish(flight, [&] { flight.result = std::move(result); }) && call.abandoned) {
      call.abandoned(std::move(result));
    }
  }

  std::shared_ptr<OperationTable> table_ = std::make_shared<OperationTable>();
};

}  // namespace berth::state
