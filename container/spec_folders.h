// Folders of small files that administrators and device plugins keep: CDI specifications, OCI hooks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"

namespace berth::container {

struct SpecFile {
  base::Path path;
  size_t folder = 0;      // its index: a later folder's files win
  std::string signature;  // another one when the file was changed or replaced; empty: it is not a regular file
};

// The files with one of these endings, folder by folder in bytewise order. A folder that is missing holds none; hidden
// files are passed over. kResourceExhausted for more than 1,000 in a folder.
base::Result<std::vector<SpecFile>> ListSpecFiles(const std::vector<base::Path>& folders,
                                                  const std::vector<std::string>& endings);

inline constexpr size_t kMaxSpecFile = 1 << 20;

// Looked at anew each time it is asked (a stat for each file, which costs less than to be told of changes and cannot be
// missed), read anew where something changed. Thread-safe.
template <typename T>
class SpecFolders {
 public:
  struct File {
    SpecFile file;
    base::Result<T> content;  // why it cannot be used, or what it says
  };
  using Files = std::vector<std::shared_ptr<const File>>;
  using Parse = std::function<base::Result<T>(std::string_view text, const std::string& path)>;

  SpecFolders(std::vector<base::Path> folders, std::vector<std::string> endings, Parse parse)
      : folders_(std::move(folders)), endings_(std::move(endings)), parse_(std::move(parse)) {}

  base::Result<Files> Read() const {
    ASSIGN_OR_RETURN(const auto found, ListSpecFiles(folders_, endings_));
    const auto known = *known_.Lock();
    Files out;
    std::map<std::string, std::shared_ptr<const File>> now;
    for (const SpecFile& file : found) {
      const std::string key = file.path.native() + "|" + file.signature;
      const auto same = known.find(key);
      auto one = same != known.end() ? same->second : std::make_shared<const File>(File{file, ReadOne(file)});
      now.emplace(key, one);
      out.push_back(std::move(one));
    }
    *known_.Lock() = std::move(now);
    return out;
  }

 private:
  base::Result<T> ReadOne(const SpecFile& file) const {
    // A FIFO would be waited for.
    if (file.signature.empty())
      return base::Fail(base::Code::kInvalidArgument, file.path.native(), ": not a regular file");
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file.path, kMaxSpecFile));
    return parse_(text, file.path.native());
  }

  const std::vector<base::Path> folders_;
  const std::vector<std::string> endings_;
  const Parse parse_;
  mutable base::Guarded<std::map<std::string, std::shared_ptr<const File>>> known_;
};

}  // namespace berth::container
