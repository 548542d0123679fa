// One SPDY/3.1 connection, either side of it: streams, their ends, pings, and an orderly close.
//
// There is no flow control but TCP's. The peers that matter (the Go library that kubelet, kubectl and crictl share)
// neither give credit nor wait for it: WINDOW_UPDATE and SETTINGS are checked and ignored, and whoever waited for
// credit would wait for ever. So whoever uses a connection looks at queued() before it sends more, and calls
// PauseReading when it cannot take more: that stops all streams, which is all that can be done without credit.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "base/result.h"
#include "base/time.h"
#include "spdy/frame.h"
#include "spdy/header_block.h"
#include "spdy/transport.h"

namespace berth::spdy {

inline constexpr size_t kMaxData = 32 << 10;  // of a data frame that we send
inline constexpr size_t kReadSize = 256 << 10;

// Who uses a connection. Called on its executor. Calls into the connection are allowed everywhere.
class ConnectionUser {
 public:
  virtual ~ConnectionUser() = default;
  // A stream that the peer opened; answer it with Reply or Reset. `fin`: it sends nothing.
  virtual void OnStream(uint32_t stream, const Headers& headers, bool fin) = 0;
  virtual void OnReply(uint32_t stream) { (void)stream; }
  virtual void OnData(uint32_t stream, std::string_view data) = 0;
  // A pipe into which the content of a stream's big frames may go straight from the socket; -1: there is none now.
  virtual int PipeOf(uint32_t stream) {
    (void)stream;
    return -1;
  }
  virtual void OnPipeFull(uint32_t stream) { (void)stream; }  // ResumeReading, or nothing is read any more
  virtual void OnFin(uint32_t stream) = 0;                    // the peer sends no more on it
  virtual void OnReset(uint32_t stream) = 0;                  // by the peer: it is gone in both directions
  virtual void OnDrained() {}                                 // queued() fell to Options::low_water after it was above
  // The last call. `why`: how it ended; success after an orderly end of either side.
  virtual void OnClosed(const base::Status& why) = 0;
};

// Not thread-safe: everything on the transport's executor. Lives until it is closed, whoever holds it.
class Connection final : public std::enable_shared_from_this<Connection>, private FrameVisitor {
 public:
  enum class Role { kClient, kServer };
  struct Options {
    Role role = Role::kServer;
    std::chrono::nanoseconds idle{std::chrono::hours(4)};      // without a frame in either direction
    std::chrono::nanoseconds linger{std::chrono::seconds(5)};  // how long the peer's end is waited for after ours
    size_t max_streams = 4096;                                 // at once; more are refused
    size_t low_water = 128 << 10;
  };

  Connection(std::unique_ptr<Transport> transport, const Options& options);
  ~Connection();

  void Start(std::shared_ptr<ConnectionUser> user);

  // The new stream's id (client only).
  uint32_t Open(const Headers& headers, bool fin = false);
  void Reply(uint32_t stream);
  // Of streams that were reset or have ended on our side nothing is sent.
  void Send(uint32_t stream, std::string_view data);
  void Fin(uint32_t stream);
  void Reset(uint32_t stream, ResetStatus status = ResetStatus::kCancel);
  void SendPing();

  size_t queued() const { return queued_; }  // bytes that have not been handed to the kernel
  size_t streams() const { return streams_.size(); }
  void PauseReading();
  void ResumeReading();

  // Resets what is open, says GOAWAY, writes what is queued, waits for the peer's end and closes. Nothing more is
  // received.
  void Finish(GoAwayStatus status = GoAwayStatus::kOk);
  // At once.
  void Abort(base::Status why);

 private:
  struct Stream {
    bool sent_fin = false;
    bool got_fin = false;
  };

  base::Status OnControl(const Control& control) override;
  base::Status OnData(uint32_t stream, std::string_view piece, bool fin) override;
  base::Status OnSynStream(const Control& control);
  base::Status OnBlock(const Control& control);
  void PeerFinished(uint32_t stream);
  void EraseIfOver(uint32_t stream);
  void ClosedByGoAway();

  size_t SendNow(uint32_t stream, std::string_view data);
  void Push(std::deque<std::string>& queue, std::string bytes);
  void PushControl(std::string frame);  // in front of data, behind other control frames
  void PushFrame(std::string frame);    // behind everything
  void Write();
  void Probe();
  void Read();
  bool ReadsStraight();
  bool GoesStraight(uint32_t stream);
  size_t ReadLimit();
  base::Status MoveStraight();
  void Linger();
  void WatchIdle();
  void Close(base::Status why);

  std::unique_ptr<Transport> transport_;
  const Options options_;
  std::shared_ptr<ConnectionUser> user_;  // until closed
  FrameReader reader_;
  HeaderInflater inflater_;
  HeaderDeflater deflater_;
  std::map<uint32_t, Stream> streams_;
  uint32_t last_peer_stream_ = 0;
  uint32_t next_stream_ = 1;
  uint32_t next_ping_ = 1;

  std::deque<std::string> urgent_;  // frames; the first of queue_ may be the rest of one
  std::deque<std::string> queue_;
  std::vector<std::string> writing_;
  size_t queued_ = 0;
  bool above_low_water_ = false;
  bool busy_writing_ = false;
  bool probing_ = false;  // what is being written is a probe
  bool busy_reading_ = false;
  bool paused_ = false;
  bool straight_ = true;  // until it went wrong
  uint32_t bulk_ = 0;     // the stream whose frames are big, at the moment
  bool rests_ = false;    // something was moved straight, and more will be
  bool flooded_ = false;  // so much is queued that nothing more is read
  bool peer_leaves_ = false;
  enum class Phase { kOpen, kFinishing, kLingering, kClosed } phase_ = Phase::kOpen;
  std::unique_ptr<std::array<char, kReadSize>> buffer_;
  base::TimePoint active_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer rest_;
};

}  // namespace berth::spdy
