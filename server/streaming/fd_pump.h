// Descriptors on the loop: a source that is read while there is room, and a sink that is written as it takes.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/unique_fd.h"

namespace berth::streaming {

// On the loop alone.
class FdSource : public std::enable_shared_from_this<FdSource> {
 public:
  struct Handlers {
    std::function<bool()> has_room;
    std::function<void(std::string_view)> on_data;
    std::function<void()> on_end;  // once: end of file, an error, or EndWhenEmpty. No call follows
  };
  // It reads into `scratch`, which others use too between its calls.
  FdSource(boost::asio::io_context& loop, base::UniqueFd fd, std::span<char> scratch, Handlers handlers);

  void Start() { Continue(); }
  // There may be room again.
  void Continue();
  // Reads on for `drain`, then what is in the pipe at that moment, then ends whoever else holds the pipe.
  void EndWhenEmpty(std::chrono::nanoseconds drain);
  void Close();  // at once; calls nothing any more
  bool ended() const { return ended_; }

 private:
  void Read();
  void Ended();
  void Bound();

  boost::asio::posix::stream_descriptor fd_;
  const std::span<char> scratch_;
  Handlers handlers_;
  boost::asio::steady_timer timer_;
  std::optional<size_t> left_;  // bytes that may still be read
  bool busy_ = false;
  bool ended_ = false;
};

// On the loop alone.
class FdSink : public std::enable_shared_from_this<FdSink> {
 public:
  enum class AtEnd { kClose, kShutdown };  // how the other side learns that no more comes
  // `on_written`: some of the queue is gone, all of it when the other side takes no more.
  FdSink(boost::asio::io_context& loop, base::UniqueFd fd, AtEnd at_end, std::function<void()> on_written);

  void Write(std::string_view data);  // dropped after End, or when the other side takes no more
  void End();                         // once what is queued is written
  void Close();                       // at once; calls nothing any more
  size_t queued() const { return queued_; }
  // The descriptor, while somebody else may write to it, too: nothing is queued. Else -1.
  int pipe();
  void WaitForRoom();  // then `on_written`

 private:
  void Pump();
  void Broken();
  void Finish();

  boost::asio::posix::stream_descriptor fd_;
  const AtEnd at_end_;
  std::function<void()> on_written_;
  std::deque<std::string> queue_;
  size_t queued_ = 0;
  bool busy_ = false;
  bool ending_ = false;
  bool over_ = false;
};

}  // namespace berth::streaming
