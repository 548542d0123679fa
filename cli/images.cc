#include <algorithm>
#include <filesystem>

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

base::Result<int> RunLoad(Session& session, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const auto loaded, session.client.LoadImages(std::filesystem::absolute(file), session.context),
                     "load ", file);
    if (session.json) {
      Print(ToJsonText(loaded));
      continue;
    }
    for (const v1::LoadedImage& image : loaded.images()) {
      for (const std::string& name : image.names()) Print(name + "\n");
      if (image.names().empty()) Print(image.id() + "\n");
    }
  }
  return 0;
}

// The exit code says whether all is well.
base::Result<int> RunCheck(Session& session, const v1::CheckImagesRequest& request) {
  ASSIGN_OR_RETURN(const v1::CheckImagesResponse report, session.client.CheckImages(request, session.context));
  if (session.json) {
    Print(ToJsonText(report));
  } else {
    for (const std::string& problem : report.problems()) Print(problem + "\n");
    for (const std::string& id : report.removed()) Print(base::Cat("removed image ", id, "; pull it again\n"));
    Note(base::Cat(report.images(), " images, ", report.layers(), " layers, ", report.problems_size(), " problems"));
    if (report.unverifiable() > 0)
      Note(base::Cat("the contents of ", report.unverifiable(), " layers cannot be compared"));
  }
  return report.problems().empty() ? 0 : 1;
}

base::Result<int> RunPulls(Session& session) {
  ASSIGN_OR_RETURN(const v1::ListPullsResponse pulls, session.client.ListPulls(session.context));
  if (session.json) {
    Print(ToJsonText(pulls));
    return 0;
  }
  Table table({"IMAGE", "STAGE", "LAYERS", "BYTES", "OF"});
  for (const v1::PullInFlight& pull : pulls.pulls()) {
    int64_t done = 0, total = 0;
    int layers = 0;
    for (const v1::LayerProgress& layer : pull.layers()) {
      if (layer.state() != v1::LAYER_PRESENT) {
        done += layer.done_bytes();
        total += layer.total_bytes();
      }
      layers += layer.state() == v1::LAYER_DONE || layer.state() == v1::LAYER_PRESENT;
    }
    table.Add({pull.reference(), pull.stage(), base::Cat(layers, "/", pull.layers_size()),
               Bytes(static_cast<uint64_t>(done)), Bytes(static_cast<uint64_t>(total))});
  }
  Print(table.Text());
  return 0;
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

  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* load = app.add_subcommand("load", "Take in the images of archives on this machine");
  load->add_option("file", *files, "OCI layout or docker's format in a tar file, plain or compressed")
      ->required()
      ->check(CLI::ExistingFile);
  load->callback([files, &chosen] { chosen = [files](Session& session) { return RunLoad(session, *files); }; });

  auto request = std::make_shared<v1::CheckImagesRequest>();
  CLI::App* check = app.add_subcommand("check", "Look whether the image store is whole");
  check->add_flag_callback(
      "--contents", [request] { request->set_contents(true); }, "Read every file, too");
  check->add_flag_callback(
      "--repair", [request] { request->set_repair(true); }, "Take away what is broken, with the images that have it");
  check->callback([request, &chosen] { chosen = [request](Session& session) { return RunCheck(session, *request); }; });

  CLI::App* pulls = app.add_subcommand("pulls", "List the pulls in flight");
  pulls->callback([&chosen] { chosen = [](Session& session) { return RunPulls(session); }; });
}

}  // namespace berth::cli
