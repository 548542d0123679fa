// Port-forward, mostly through a client that is not ours (peer/main.go).
#include <atomic>

#include "base/strings.h"
#include "tests/e2e/harness/listener.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

class StreamingForward : public StreamingNode {
 protected:
  // A container and, at port 7007 of its pod, a server.
  Made Echo() {
    Made made = Sleeper();
    Serve(made, {});
    return made;
  }
  void Serve(const Made& made, Listener::Options options) {
    options.net_namespace = base::Cat("/proc/", PidOf(made), "/ns/net");
    options.port = 7007;
    auto started = Listener::Start(std::move(options));
    ASSERT_TRUE(started) << started.error().Text();
    listener_ = *std::move(started);
  }
  void TearDown() override {
    listener_.reset();
    StreamingNode::TearDown();
  }
  static std::string Text(const Held& held) {
    return base::Cat(held.descriptors, " descriptors, ", held.sockets, " sockets, ", held.threads, " threads");
  }
  std::unique_ptr<Listener> listener_;
};
ON_EVERY_RUNTIME(StreamingForward);

TEST_P(StreamingForward, ThousandsOfShortConnectionsLeaveNothing) {
  Made made = Echo();
  Peer({"forward", "-n", "50", "-parallel", "4", ForwardUrl(made.pod), "7007"});
  const Held before = DaemonHolds();
  const Ended ended =
      Peer({"forward", "-n", "3000", "-parallel", "8", ForwardUrl(made.pod), "7007"}, "", std::chrono::seconds(300));
  EXPECT_EQ(ended.output, "3000 connections, 0 failed\n") << ended.errors;
  // gRPC's own threads come and go; of 3,000 that were left there would be more.
  constexpr size_t kOthers = 8;
  EXPECT_TRUE(Eventually([&] {
    const Held now = DaemonHolds();
    return now.descriptors <= before.descriptors && now.sockets <= before.sockets &&
           now.threads <= before.threads + kOthers;
  })) << Text(DaemonHolds())
      << " after " << Text(before);
}

TEST_P(StreamingForward, MuchGoesBothWaysWhole) {
  Made made = Echo();
  const Ended ended = Peer({"forward", "-n", "4", "-parallel", "4", "-size", "30000000", ForwardUrl(made.pod), "7007"});
  EXPECT_EQ(ended.output, "4 connections, 0 failed\n") << ended.errors;
}

TEST_P(StreamingForward, ClosedPortIsToldAndNoMoreIsBroken) {
  Made made = Echo();
  const Ended ended = Peer({"forward", ForwardUrl(made.pod), "7008"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("error forwarding port 7008 to pod " + made.pod));
  EXPECT_THAT(ended.errors, HasSubstr("connect to 127.0.0.1:7008: Connection refused; connect to [::1]:7008: "));
}

TEST_P(StreamingForward, PortThatDropsConnectionsIsGivenUpAndOthersGoOn) {
  Made made = Sleeper();
  // Nobody accepts: the first connection waits in a queue of one, and the kernel drops what comes behind it.
  Serve(made, {.at_once = 0, .backlog = 0});
  Beside first = Start(PeerCommand({"forward", ForwardUrl(made.pod), "7007"}));
  ASSERT_TRUE(Eventually([&] {
    return cri().Exec(made.container, Sh("grep ':1B5F ' /proc/net/tcp | grep -vc ' 0A ' || :"))->stdout() != "0\n";
  }));
  const Ended ended = Peer({"forward", ForwardUrl(made.pod), "7007"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("127.0.0.1:7007: deadline exceeded; connect to [::1]:7007: "));
  first.child.KillGroup();
  ASSERT_TRUE(first.child.Wait(base::Context(), "peer"));
}

TEST_P(StreamingForward, ServerOfThePodThatListensOnIPv6AloneIsReached) {
  Made made = Sleeper();
  Serve(made, {.v6 = true});
  const Ended ended = Peer({"forward", "-n", "3", ForwardUrl(made.pod), "7007"});
  EXPECT_EQ(ended.output, "3 connections, 0 failed\n") << ended.errors;
}

TEST_P(StreamingForward, HostNetworkPodIsReachedOnTheHost) {
  const auto listener = Listener::Start({.v6 = true});
  if (!listener) GTEST_SKIP() << "no IPv6 here: " << listener.error().Text();
  v1::PodSandboxConfig config = Pod();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  const std::string pod = RunPod(config);
  // IPv4 refuses, so this is IPv6 as well.
  const Ended ended = Peer({"forward", ForwardUrl(pod), std::to_string((*listener)->port())});
  EXPECT_EQ(ended.output, "1 connections, 0 failed\n") << ended.errors;
}

TEST_P(StreamingForward, RemovalOfThePodEndsConnectionsAndThoseThatBeginAfterIt) {
  Made made = Sleeper();
  const auto reached = std::make_shared<std::atomic<bool>>();
  Serve(made, {.serve = [reached](int connection) {
          *reached = true;
          Listener::Echo(connection);
        }});
  const std::string late = ForwardUrl(made.pod);
  // It sends more than it will ever get through: only the pod's end ends it.
  Beside client = Start(PeerCommand({"forward", "-size", "1000000000000", ForwardUrl(made.pod), "7007"}));
  ASSERT_TRUE(Eventually([&] { return reached->load(); }));
  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  WaitFor(client.child);
  EXPECT_EQ(Peer({"forward", late, "7007"}).code, 1);
}

TEST_P(StreamingForward, StoppedPodIsRefusedAndConnectionsEnd) {
  Made made = Echo();
  Beside client = Start(Berth({"port-forward", made.pod, "0:7007"}));
  ASSERT_TRUE(client.Read("to port 7007"));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_EQ(WaitFor(client.child).code, 125);
  v1::PortForwardRequest request;
  request.set_pod_sandbox_id(made.pod);
  EXPECT_EQ(cri().Call(&v1::RuntimeService::Stub::PortForward, request).code(), grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace berth::e2e
