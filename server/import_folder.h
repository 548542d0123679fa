// The folder of image archives for nodes without a registry: taken in at the start and whenever one appears or changes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/context.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/pull.h"
#include "image/store.h"
#include "network/conf_watcher.h"

namespace berth::server {

// One archive at a time, on the executor. One that was taken in is left alone until it changes, unless one of its
// images has gone and the daemon starts anew. One that fails is reported and tried again when it changes or at the next
// start.
class ImportFolder {
 public:
  struct Options {
    base::Path folder;  // may be missing
    base::Path record;  // what was taken in, for the next start
    image::Puller* puller = nullptr;
    image::Store* store = nullptr;
    base::Executor* executor = nullptr;
    std::function<void(const std::string& problem)> report;
  };
  explicit ImportFolder(Options options);
  ~ImportFolder();  // what runs is cancelled; the executor is to be ended before

  // Watches from now on and looks at once, from the loop.
  base::Status Start(boost::asio::io_context& loop);
  // Ends what runs, so that the executor can end.
  void Stop();
  // Takes in what is new. Called on the executor; tests call it themselves.
  void Scan();

 private:
  struct Taken {
    std::string stamp;
    std::vector<std::string> images;  // ids
  };
  struct Data {
    std::map<std::string, Taken> taken;  // by file name
    bool loaded = false;
    bool running = false;
    bool again = false;
  };
  void Wait();
  void Changed();
  void Load(Data& data) const;
  bool Import(const std::string& name, Taken& taken);
  base::Status Save(const std::map<std::string, Taken>& taken) const;

  const Options options_;
  const base::Context context_ = base::Context::Make("import");
  base::Guarded<Data> data_;
  std::unique_ptr<network::ConfWatcher> watcher_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> event_;
};

}  // namespace berth::server
