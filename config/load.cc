#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "config/config.h"
#include "config/reader.h"

namespace berth::config {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using base::Path;
using base::Result;

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxDropins = 1000;

Result<std::vector<Path>> Dropins(const Path& folder) {
  auto names = base::ListFolder(folder);
  if (!names && names.error().err == ENOENT) return std::vector<Path>();
  if (!names) return tl::make_unexpected(std::move(names).error());
  std::erase_if(*names, [](const std::string& name) { return !name.ends_with(".yaml") || name.starts_with('.'); });
  if (names->size() > kMaxDropins) {
    return Fail(Code::kInvalidArgument, folder.native(), ": more than ", kMaxDropins, " files");
  }
  std::sort(names->begin(), names->end());
  std::vector<Path> out;
  for (const std::string& name : *names) out.push_back(folder / name);
  return out;
}

// `config` is the one that the reader wrote to.
Result<Config> Finish(Reader& reader, const Config& config) {
  reader.Finish();
  if (!reader.problems().empty()) return Fail(Code::kInvalidArgument, base::Join(reader.problems(), "\n"));
  return config;
}

}  // namespace

Result<Config> Load(const LoadOptions& options) {
  Config config;
  Reader reader(config);
  const Path file = options.file.empty() ? Path(kDefaultFile) : options.file;
  auto text = base::ReadFile(file, kMaxFile);
  if (text) {
    reader.Document(*text, file.native());
  } else if (text.error().err == ENOENT && !options.file.empty()) {
    return tl::make_unexpected(
        base::Error{.code = Code::kNotFound, .message = std::move(text.error().message), .err = ENOENT});
  } else if (text.error().err != ENOENT) {
    return tl::make_unexpected(std::move(text).error());
  }
  ASSIGN_OR_RETURN(const auto dropins,
                   Dropins(options.dropin_dir.empty() ? Path(kDefaultDropinDir) : options.dropin_dir));
  for (const Path& dropin : dropins) {
    ASSIGN_OR_RETURN(const std::string more, base::ReadFile(dropin, kMaxFile));
    reader.Document(more, dropin.native());
  }
  for (const std::string& assignment : options.overrides) reader.Override(assignment);
  return Finish(reader, config);
}

Result<Config> Parse(std::string_view yaml, const std::string& name) {
  Config config;
  Reader reader(config);
  if (yaml.size() > kMaxFile) return Fail(Code::kInvalidArgument, name, ": larger than ", kMaxFile, " bytes");
  reader.Document(yaml, name);
  return Finish(reader, config);
}

}  // namespace berth::config
