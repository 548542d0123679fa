// Notices that containers end. The monitor is the witness of how; two pidfds on the event loop tell that and when.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/executor.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "conmon/exit_record.h"

namespace berth::container {

struct WatchRequest {
  std::string id;
  base::UniqueFd monitor;  // pidfd
  base::UniqueFd process;  // pidfd; -1 when it has ended already
  base::Path exit_file;
  base::Path socket;  // the monitor's, asked only when it lives on without having written its record
};

// Thread-safe. The event loop notices; what waits for disks and monitors runs on `asking`, and so does the callback,
// once for each Watch. No record means that the monitor was lost.
//
// A monitor that has ended is reaped and its exit file read. A first process that has ended while its monitor goes on
// gives the monitor a few seconds; then it is asked over its socket. It may still be draining the output, or have
// nowhere to write its record (a broken disk): it gets more time, or its answer counts. If it does not answer (stopped,
// stuck) it is killed.
class ExitWatch {
 public:
  using OnExit = std::function<void(const std::string& id, std::optional<conmon::ExitRecord>)>;
  ExitWatch(boost::asio::io_context& loop, base::Executor& asking, OnExit on_exit);
  ~ExitWatch();

  void Watch(WatchRequest request);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace berth::container
