// What a streaming exec carries in a second, beside a plain pipe to the same command: both ways, in turn, in one run.
//
//   berth_bench_stream [PREFIX...]     PREFIX is put in front of `dd`: "crun exec CONTAINER" for a real one
//
// The server is the daemon's; the client is as plain as can be: a socket that is read and written, one frame at a time,
// so that what is measured is the server and not its peer.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/strings.h"
#include "base/time.h"
#include "server/streaming/server.h"
#include "spdy/connection.h"
#include "spdy/frame.h"
#include "spdy/header_block.h"
#include "tests/unit/streaming/local_process.h"

namespace berth::bench {
namespace {

constexpr size_t kTotal = size_t{1} << 30;
constexpr int kRounds = 5;
constexpr size_t kPiece = 64 << 10;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "berth_bench_stream: %s\n", why.c_str());
  std::exit(1);
}
template <typename T>
T Must(base::Result<T> result) {
  if (!result) Die(result.error().Text());
  return *std::move(result);
}
void Must(const base::Status& status) {
  if (!status) Die(status.error().Text());
}

std::vector<std::string> Command(const std::vector<std::string>& prefix, bool out) {
  std::vector<std::string> command = prefix;
  command.insert(command.end(), {"dd", "bs=64k", out ? "if=/dev/zero" : "of=/dev/null"});
  if (out) command.push_back(base::Cat("count=", kTotal / kPiece));
  return command;
}

base::Path Program(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/bin/"}) {
    if (name.starts_with("/")) return name;
    if (base::Exists(folder + name)) return folder + name;
  }
  Die("there is no " + name);
}

// A child with a pipe, as whoever calls `crun exec` by hand has it.
void Floor(const std::vector<std::string>& command, bool out) {
  base::Pipe pipe = Must(base::MakePipe());
  base::SpawnOptions spawn{
      .program = Program(command.at(0)), .arguments = command, .environment = {"PATH=/usr/sbin:/usr/bin:/bin"}};
  spawn.fds = {{out ? pipe.write.get() : pipe.read.get(), out ? 1 : 0}};
  base::Child child = Must(base::Spawn(spawn));
  (out ? pipe.write : pipe.read).Reset();
  std::string piece(kPiece, 'x');
  size_t moved = 0;
  while (out || moved < kTotal) {
    const ssize_t got =
        out ? read(pipe.read.get(), piece.data(), kPiece) : write(pipe.write.get(), piece.data(), kPiece);
    if (got <= 0) break;
    moved += static_cast<size_t>(got);
  }
  pipe.write.Reset();
  Must(child.Wait(base::Context(), "command"));
  if (moved != kTotal) Die(base::Cat("the floor moved ", moved, " bytes"));
}

class Client final : private spdy::FrameVisitor {
 public:
  explicit Client(const std::string& url) {
    const size_t colon = url.find(':', 6);
    const size_t path = url.find('/', 8);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(std::stoi(url.substr(colon + 1))));
    socket_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Die("connect");
    Write(base::Cat("POST ", url.substr(path), " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                    "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"));
    std::string head;
    for (char c = 0; !head.ends_with("\r\n\r\n"); head.push_back(c)) {
      if (read(socket_.get(), &c, 1) != 1) Die("no answer: " + head);
    }
    if (!head.starts_with("HTTP/1.1 101")) Die(head);
  }
  void Open(const std::vector<std::string>& types) {
    uint32_t id = 1;
    for (const std::string& type : types) {
      Write(spdy::SynStream(id, 0, deflater_.Deflate({{"streamtype", type}})));
      id += 2;
    }
  }
  // `stream` in frames as the clients that matter send them.
  void SendAll(uint32_t stream) {
    std::string data(spdy::kMaxData, 'x');
    char head[spdy::kHeadSize];
    spdy::DataHead(stream, 0, spdy::kMaxData, head);
    for (size_t left = kTotal; left > 0; left -= data.size()) {
      iovec parts[2] = {{head, sizeof head}, {data.data(), data.size()}};
      const ssize_t sent = writev(socket_.get(), parts, 2);
      if (sent < 0) Die("write");
      const auto done = static_cast<size_t>(sent);
      if (done < sizeof head) Die("a head was cut");
      if (done < sizeof head + data.size()) Write(data.substr(done - sizeof head));
    }
    spdy::DataHead(stream, spdy::kFlagFin, 0, head);
    Write({head, sizeof head});
  }
  // Until the server has closed.
  void Drain() {
    std::string piece(kPiece, '\0');
    while (true) {
      const ssize_t got = read(socket_.get(), piece.data(), piece.size());
      if (got <= 0) break;
      Must(reader_.Feed({piece.data(), static_cast<size_t>(got)}));
    }
    if (status_.find("Success") == std::string::npos) Die("the exec failed: " + status_);
  }
  size_t received() const { return received_; }

 private:
  void Write(std::string_view bytes) { Must(base::WriteAll(socket_.get(), bytes, "socket")); }
  base::Status OnControl(const spdy::Control& control) override {
    if (control.type == spdy::FrameType::kGoAway) shutdown(socket_.get(), SHUT_RDWR);
    return {};
  }
  base::Status OnData(uint32_t stream, std::string_view piece, bool) override {
    if (stream == 1)
      status_ += piece;
    else
      received_ += piece.size();
    return {};
  }

  base::UniqueFd socket_;
  spdy::HeaderDeflater deflater_;
  spdy::FrameReader reader_{*this};
  std::string status_;
  size_t received_ = 0;
};

void Ours(streaming::Server& server, const std::vector<std::string>& command, bool out) {
  const streaming::Streams streams{.input = !out, .output = out, .errors = !out};
  Client client(Must(server.UrlFor(streaming::ExecOrder{.container = "", .command = command, .streams = streams})));
  if (out) {
    client.Open({"error", "stdout"});
    client.Drain();
    if (client.received() != kTotal) Die(base::Cat("the client received ", client.received(), " bytes"));
    return;
  }
  client.Open({"error", "stdin", "stderr"});
  std::thread sender([&] { client.SendAll(3); });
  client.Drain();
  sender.join();
}

double Seconds(const std::function<void()>& work) {
  const auto before = base::Monotonic::now();
  work();
  return std::chrono::duration<double>(base::Monotonic::now() - before).count();
}
double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

int Main(std::vector<std::string> prefix) {
  base::Executor work({.name = "work", .threads = 2});
  streaming::Server::Options options;
  options.work = &work;
  options.callbacks.exec = [](streaming::ExecOrder order, const base::Context&) {
    order.command[0] = Program(order.command.at(0));
    return streaming::LocalProcess::Start(order);
  };
  const auto server = Must(streaming::Server::Start(std::move(options)));
  for (const bool out : {true, false}) {
    const std::vector<std::string> command = Command(prefix, out);
    std::vector<double> floor, ours;
    for (int i = 0; i < kRounds; ++i) {
      floor.push_back(Seconds([&] { Floor(command, out); }));
      ours.push_back(Seconds([&] { Ours(*server, command, out); }));
    }
    const double mib = static_cast<double>(kTotal >> 20);
    std::printf("%s: plain pipe %.0f MiB/s, streaming %.0f MiB/s, ratio %.2f (goal 0.70)\n", out ? "stdout" : "stdin ",
                mib / Median(floor), mib / Median(ours), Median(floor) / Median(ours));
  }
  server->Stop();
  return 0;
}

}  // namespace berth::bench

int main(int count, char** arguments) {
  return berth::bench::Main({arguments + 1, arguments + count});
}
