#include "server/import_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::server {
namespace {

namespace asio = boost::asio;
using base::Path;

// Empty for what is no regular file.
std::string StampOf(const Path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return base::Cat(info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
}

// A read lease is granted only while nobody has the file open for writing (fcntl(2), F_SETLEASE).
bool BeingWritten(const Path& path) {
  const auto fd = base::Open(path, O_RDONLY | O_NONBLOCK);
  if (!fd) return false;
  // Should a writer come just now, the signal is one that is ignored.
  fcntl(fd->get(), F_SETSIG, SIGURG);
  if (fcntl(fd->get(), F_SETLEASE, F_RDLCK) == 0) return false;
  return errno == EAGAIN;
}

}  // namespace

ImportFolder::ImportFolder(Options options) : options_(std::move(options)) {}
ImportFolder::~ImportFolder() {
  Stop();
}
void ImportFolder::Stop() {
  context_.Cancel();
}

base::Status ImportFolder::Start(asio::io_context& loop) {
  ASSIGN_OR_RETURN(watcher_, network::ConfWatcher::Make(
                                 {.conf_dir = options_.folder, .bin_dirs = {}, .on_change = [this] { Changed(); }}));
  event_ = std::make_unique<asio::posix::stream_descriptor>(loop, dup(watcher_->fd()));
  Wait();
  return {};
}

void ImportFolder::Wait() {
  event_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    watcher_->Process();
    Wait();
  });
}

void ImportFolder::Changed() {
  const bool start = data_.With([](Data& data) {
    data.again = true;
    return !std::exchange(data.running, true);
  });
  if (!start) return;
  const auto run = [this] {
    while (data_.With([](Data& data) { return data.running = std::exchange(data.again, false); })) Scan();
  };
  if (auto submitted = options_.executor->Submit(run); !submitted) {
    data_.With([](Data& data) { data.running = false; });
    options_.report("import folder: " + submitted.error().message);
  }
}

void ImportFolder::Load(Data& data) const {
  if (std::exchange(data.loaded, true)) return;
  const auto text = base::ReadFile(options_.record);
  const auto list = text ? json::Parse(*text, "imported archives") : tl::make_unexpected(text.error());
  // Lost or broken, it costs another look at the archives.
  if (!list || !list->is_object()) return;
  for (const auto& [name, item] : list->items()) {
    Taken taken;
    const auto stamp = json::String(item, "stamp", name);
    const auto images = json::Strings(item, "images", name);
    if (!stamp || !images) continue;
    const bool here = std::ranges::all_of(*images, [&](const std::string& id) {
      const auto found = options_.store->Find(id);
      return found && *found != nullptr;
    });
    if (here) data.taken[name] = {*stamp, *images};
  }
}

base::Status ImportFolder::Save(const std::map<std::string, Taken>& taken) const {
  nlohmann::json list = nlohmann::json::object();
  for (const auto& [name, item] : taken) {
    if (!item.images.empty()) list[name] = {{"stamp", item.stamp}, {"images", item.images}};
  }
  return base::WriteFile(options_.record, json::Dump(list), 0600, base::Durability::kDurable);
}

void ImportFolder::Scan() {
  auto names = base::ListFolder(options_.folder);
  if (!names) return;
  std::ranges::sort(*names);
  bool changed = false;
  auto taken = data_.With([&](Data& data) {
    Load(data);
    return data.taken;
  });
  changed =
      std::erase_if(taken, [&](const auto& item) { return std::ranges::find(*names, item.first) == names->end(); }) > 0;
  for (const std::string& name : *names) {
    const std::string stamp = StampOf(options_.folder / name);
    if (name.starts_with('.') || stamp.empty() || taken[name].stamp == stamp || BeingWritten(options_.folder / name))
      continue;
    if (context_.cancelled()) break;
    taken[name] = {stamp, {}};
    changed |= Import(name, taken[name]);
  }
  data_.With([&](Data& data) { data.taken = taken; });
  if (!changed) return;
  if (auto saved = Save(taken); !saved) options_.report("import folder: " + saved.error().message);
}

bool ImportFolder::Import(const std::string& name, Taken& taken) {
  const auto images = options_.puller->Import(options_.folder / name, context_);
  if (!images) {
    if (!context_.cancelled()) options_.report("import: " + images.error().message);
    return false;
  }
  for (const image::ImportedImage& image : *images) {
    taken.images.push_back(image.image_id.str());
    spdlog::info("imported={} image={} names={}", (options_.folder / name).native(), image.image_id.str(),
                 base::Join(image.names, ","));
  }
  return true;
}

}  // namespace berth::server
