#include "image/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/strings.h"
#include "image/file_sum.h"
#include "image/store_records.h"

namespace berth::image {
namespace {

using base::Code;
using base::Path;
using base::Result;
using base::Status;
constexpr size_t kMaxRecord = 1 << 20;
constexpr size_t kPiece = 1 << 20;

// What a layer's folder holds.
class Tree {
 public:
  Tree(bool contents, const base::Context& context) : contents_(contents), context_(context) {}

  // Not recursive: the depth is an archive's to choose, and a thread's stack is small.
  Status Walk(const Path& root) {
    folders_ = {root};
    while (!folders_.empty()) {
      RETURN_IF_ERROR(context_.Check("check"));
      const Path folder = std::move(folders_.back());
      folders_.pop_back();
      ++inodes_;
      ASSIGN_OR_RETURN(const auto names, base::ListFolder(folder));
      for (const std::string& name : names) RETURN_IF_ERROR(Visit(folder / name));
    }
    return {};
  }
  uint64_t inodes() const { return inodes_; }
  const FileSum& sum() const { return sum_; }

 private:
  Status Visit(const Path& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return base::FailErrno(errno, "stat ", path.native());
    if (S_ISDIR(info.st_mode)) {
      folders_.push_back(path);
      return {};
    }
    if (info.st_nlink > 1 && !linked_.insert(info.st_ino).second) return {};
    ++inodes_;
    return contents_ && S_ISREG(info.st_mode) ? ReadContent(path, static_cast<uint64_t>(info.st_size)) : Status();
  }

  Status ReadContent(const Path& path, uint64_t size) {
    ASSIGN_OR_RETURN(const base::UniqueFd fd, base::Open(path, O_RDONLY | O_NOFOLLOW));
    buffer_.resize(kPiece);
    uint64_t at = 0;
    while (true) {
      const ssize_t got = read(fd.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::FailErrno(errno, "read ", path.native());
      if (got == 0) break;
      sum_.Data(at, std::span<const uint8_t>(buffer_).first(static_cast<size_t>(got)));
      at += static_cast<uint64_t>(got);
      RETURN_IF_ERROR(context_.Check("check"));
    }
    sum_.End(size);
    return {};
  }

  const bool contents_;
  const base::Context& context_;
  uint64_t inodes_ = 0;
  FileSum sum_;
  std::vector<Path> folders_;  // to be walked yet
  std::set<ino_t> linked_;
  std::vector<uint8_t> buffer_;
};

Status CheckLayer(const Digest& chain_id, const Path& diff, const CheckOptions& options, const base::Context& context, CheckReport& report) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(diff.parent_path() / "layer.json", kMaxRecord));
  ASSIGN_OR_RETURN(const LayerRecord record, DecodeLayer(text));
  if (record.chain_id != chain_id) return base::Fail(Code::kInternal, "the record is another layer's");
  Tree tree(options.contents && record.sum, context);
  RETURN_IF_ERROR(tree.Walk(diff));
  if (record.exact && tree.inodes() != record.inodes) {
    return base::Fail(Code::kInternal, tree.inodes(), " files and folders where ", record.inodes, " were written");
  }
  if (options.contents && !record.sum) ++report.unverifiable;
  if (options.contents && record.sum && tree.sum().value() != *record.sum) return base::Fail(Code::kInternal, "the contents have changed");
  return {};
}

Status CheckCopies(Store& store, const CheckOptions& options, const base::Context& context, CheckReport& report) {
  for (const ShiftedLayers::Copy& copy : store.shifted().List()) {
    ++report.layers;
    const Status checked = CheckLayer(copy.chain_id, copy.diff, options, context, report);
    if (checked) continue;
    RETURN_IF_ERROR(context.Check("check"));
    if (!store.shifted().Has(copy.name)) continue;  // removed since
    report.problems.push_back({copy.name, base::Cat("layer's copy for a user namespace, which stays until its containers are removed: ", checked.error().message)});
  }
  return {};
}

}  // namespace

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options, const base::Context& context) {
  CheckReport report;
  const auto images = store.List();
  std::set<Digest> seen;
  std::set<Digest> broken;
  for (const ImagePtr& image : *images) {
    ++report.images;
    if (const Status record = store.CheckRecord(*image); !record) report.problems.push_back({image->id, record.error().message});
    for (const Digest& chain_id : image->chain_ids) {
      if (!seen.insert(chain_id).second) continue;
      const auto pin = store.AcquireLayer(chain_id);
      if (!pin) continue;  // removed since
      ++report.layers;
      ASSIGN_OR_RETURN(const Path diff, store.LayerFolder(chain_id));
      const Status checked = CheckLayer(chain_id, diff, options, context, report);
      if (checked) continue;
      RETURN_IF_ERROR(context.Check("check"));
      report.problems.push_back({chain_id.str(), base::Cat("layer: ", checked.error().message)});
      broken.insert(chain_id);
    }
  }
  RETURN_IF_ERROR(CheckCopies(store, options, context, report));
  for (const ImagePtr& image : *images) {
    if (!options.repair) break;
    if (std::ranges::none_of(image->chain_ids, [&](const Digest& chain_id) { return broken.contains(chain_id); })) continue;
    RETURN_IF_ERROR(store.Remove(image->id));
    report.removed.push_back(image->id);
  }
  for (const Digest& chain_id : broken) {
    if (options.repair && store.HasLayer(chain_id)) {
      report.problems.push_back({chain_id.str(), "layer: still used by a container, so it stays until that is removed"});
    }
  }
  return report;
}

}  // namespace berth::image
