#include <algorithm>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

// "registry/name" and "tag" of "registry/name:tag".
std::pair<std::string, std::string> SplitTag(const std::string& reference) {
  const size_t colon = reference.rfind(':');
  if (colon == std::string::npos || reference.find('/', colon) != std::string::npos) return {reference, "<none>"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

base::Result<int> RunImages(Session& session, bool quiet) {
  ASSIGN_OR_RETURN(const cri::ListImagesResponse list, session.client.ListImages(session.context));
  if (session.json) {
    Print(ToJsonText(list));
    return 0;
  }
  if (quiet) {
    for (const cri::Image& image : list.images()) Print(image.id() + "\n");
    return 0;
  }
  std::vector<std::vector<std::string>> rows;
  for (const cri::Image& image : list.images()) {
    const std::string id = ShortId(image.id()), size = Bytes(image.size());
    for (const std::string& tag : image.repo_tags()) {
      const auto [name, version] = SplitTag(tag);
      rows.push_back({name, version, id, size});
    }
    if (!image.repo_tags().empty()) continue;
    const std::string digest = image.repo_digests().empty() ? "<none>" : image.repo_digests(0);
    rows.push_back({digest.substr(0, digest.find('@')), "<none>", id, size});
  }
  std::ranges::sort(rows);
  Table table({"IMAGE", "TAG", "IMAGE ID", "SIZE"});
  for (auto& row : rows) table.Add(std::move(row));
  Print(table.Text());
  return 0;
}

base::Status RemoveImage(Session& session, const std::string& name) {
  // The API answers the removal of an image that is not there with success; a person wants to know.
  ASSIGN_OR_RETURN(const cri::ImageStatusResponse status, session.client.ImageStatus(name, false, session.context));
  if (!status.has_image())
    return base::Fail(base::Code::kNotFound, "there is no image \"", name, "\"; `berth images` lists them");
  return session.client.RemoveImage(status.image().id(), session.context);
}

}  // namespace

void AddImageCommands(CLI::App& app, Command& chosen) {
  auto quiet = std::make_shared<bool>(false);
  CLI::App* images = app.add_subcommand("images", "List the images that are here");
  images->add_flag("-q,--quiet", *quiet, "Only ids");
  images->callback([quiet, &chosen] { chosen = [quiet](Session& session) { return RunImages(session, *quiet); }; });

  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* rmi = app.add_subcommand("rmi", "Remove images, with all their names");
  rmi->add_option("image", *names, "Names or ids")->required();
  rmi->callback([names, &chosen] {
    chosen = [names](Session& session) {
      return ForEach(*names, [&](const std::string& name) { return RemoveImage(session, name); });
    };
  });
}

}  // namespace berth::cli
