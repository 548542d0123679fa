#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <mutex>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

// Draws over what it drew before, on a terminal; writes lines as there is news, elsewhere. Called by the thread that
// receives events, and at the end by the one that pulls.
class PullView {
 public:
  PullView() : terminal_(isatty(STDERR_FILENO) == 1) {}

  void Update(const v1::PullProgressEvent& event) {
    std::lock_guard lock(mutex_);
    progress_.Update(event, base::Monotonic::now());
    if (terminal_) {
      Draw();
    } else {
      for (const std::string& line : progress_.TakeNews()) Note(line);
    }
  }

 private:
  void Draw() {
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 1;
    // One column and one line stay free: a full one would make the terminal scroll.
    const auto lines = progress_.Lines(known ? size.ws_col - 1u : 79u, known ? size.ws_row - 1u : 24u);
    std::string out;
    if (drawn_ > 0) out += base::Cat("\x1b[", drawn_, "A");
    for (const std::string& line : lines) out += base::Cat("\r", line, "\x1b[K\n");
    out += "\x1b[J";
    drawn_ = lines.size();
    (void)base::WriteAll(STDERR_FILENO, out, "terminal");
  }

  const bool terminal_;
  std::mutex mutex_;
  PullProgress progress_;
  size_t drawn_ = 0;
};

struct PullFlags {
  std::string reference;
  std::string user;
  bool password_from_stdin = false;
};

base::Result<int> RunPull(Session& session, const PullFlags& flags) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(flags.reference);
  if (flags.password_from_stdin != !flags.user.empty())
    return base::Fail(base::Code::kInvalidArgument, "--username and --password-stdin belong together");
  if (flags.password_from_stdin) {
    std::string password;
    std::getline(std::cin, password);
    request.mutable_auth()->set_username(flags.user);
    request.mutable_auth()->set_password(password);
  }
  ASSIGN_OR_RETURN(const std::string id, Pull(session, request));
  if (session.json) {
    cri::PullImageResponse reply;
    reply.set_image_ref(id);
    Print(ToJsonText(reply));
  } else {
    Print(id + "\n");
  }
  return 0;
}

}  // namespace

base::Result<std::string> Pull(Session& session, const cri::PullImageRequest& request) {
  PullView view;
  base::Result<cri::PullImageResponse> reply;
  {
    const auto events =
        session.client.FollowPull(request.image().image(), [&](const auto& event) { view.Update(event); });
    reply = session.client.PullImage(request, session.context);
  }
  // Most errors begin with the image's name.
  if (const std::string& name = request.image().image(); !reply) {
    const bool named = reply.error().message.find(name) != std::string::npos;
    return tl::make_unexpected(base::Wrap(std::move(reply).error(), named ? "pull" : "pull " + name));
  }
  return reply->image_ref();
}

void AddPullCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command = app.add_subcommand("pull", "Pull an image from its registry");
  command->add_option("image", flags->reference, "Name of the image, like docker.io/library/busybox:1.36")->required();
  command->add_option("-u,--username", flags->user, "User name at the registry");
  command->add_flag("--password-stdin", flags->password_from_stdin, "Read the password from standard input");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunPull(session, *flags); }; });
}

}  // namespace berth::cli
