#include "image/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
  uint64_t links() const { return links_; }
  const FileSum& sum() const { return sum_; }

 private:
  Status Visit(const Path& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return base::FailErrno(errno, "stat ", path.native());
    if (S_ISDIR(info.st_mode)) {
      folders_.push_back(path);
      return {};
    }
    if (info.st_nlink > 1 && !linked_.insert(info.st_ino).second) {
      ++links_;
      return {};
    }
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
  uint64_t links_ = 0;  // names of files beside their first
  FileSum sum_;
  std::vector<Path> folders_;  // to be walked yet
  std::set<ino_t> linked_;
  std::vector<uint8_t> buffer_;
};

Status CheckLayer(const Digest& chain_id, const Path& diff, const CheckOptions& options, const base::Context& context,
                  CheckReport& report) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(diff.parent_path() / "layer.json", kMaxRecord));
  ASSIGN_OR_RETURN(const LayerRecord record, DecodeLayer(text));
  if (record.chain_id != chain_id) return base::Fail(Code::kInternal, "the record is another layer's");
  Tree tree(options.contents && record.sum, context);
  RETURN_IF_ERROR(tree.Walk(diff));
  if (record.exact && tree.inodes() != record.inodes) {
    return base::Fail(Code::kInternal, tree.inodes(), " files and folders where ", record.inodes, " were written");
  }
  if (record.exact && record.links && tree.links() != *record.links) {
    return base::Fail(Code::kInternal, tree.links(), " hard links where ", *record.links, " were written");
  }
  if (options.contents && !record.sum) ++report.unverifiable;
  if (options.contents && record.sum && tree.sum().value() != *record.sum)
    return base::Fail(Code::kInternal, "the contents have changed");
  return {};
}

// A want of ours says nothing of the disk.
bool IsOurs(const base::Error& error) {
  return error.err == EMFILE || error.err == ENFILE || error.err == ENOMEM;
}

class Check {
 public:
  Check(Store& store, const CheckOptions& options, const base::Context& context, CheckReport& report)
      : store_(store), options_(options), context_(context), report_(report) {}

  Status Records() {
    const auto images = store_.List();
    for (const ImagePtr& image : *images) {
      ++report_.images;
      const Status record = store_.CheckRecord(image->id);
      if (record) continue;
      RETURN_IF_ERROR(Found(image->id, base::Cat("record: ", record.error().Text())));
      if (options_.repair) Settle(store_.RewriteRecord(image->id), "written again");
    }
    return {};
  }

  Status Layers() {
    for (const Digest& chain_id : store_.Layers()) {
      auto pin = store_.AcquireLayer(chain_id);
      if (!pin) continue;  // removed since
      ++report_.layers;
      ASSIGN_OR_RETURN(const Path diff, store_.LayerFolder(chain_id));
      const Status checked = CheckLayer(chain_id, diff, options_, context_, report_);
      if (checked) continue;
      if (IsOurs(checked.error())) return checked;
      RETURN_IF_ERROR(Found(chain_id.str(), base::Cat("layer: ", checked.error().Text())));
      if (!options_.repair) continue;
      pin.reset();
      const auto removed = store_.RetireLayer(chain_id);
      if (removed) report_.removed.insert(report_.removed.end(), removed->begin(), removed->end());
      Settle(removed ? Status() : tl::make_unexpected(removed.error()), "taken away");
    }
    return {};
  }

  Status Copies() {
    for (const ShiftedLayers::Copy& copy : store_.shifted().List()) {
      ++report_.layers;
      const Status checked = CheckLayer(copy.chain_id, copy.diff, options_, context_, report_);
      if (checked || !store_.shifted().Has(copy.name)) continue;  // whole, or removed since
      if (IsOurs(checked.error())) return checked;
      RETURN_IF_ERROR(Found(copy.name, base::Cat("layer's copy for a user namespace: ", checked.error().Text())));
      if (options_.repair) Settle(store_.shifted().Retire(copy.name), "taken away");
    }
    return {};
  }

  Status Strays() {
    ASSIGN_OR_RETURN(const auto strays, store_.Strays(options_.repair));
    for (const std::string& name : strays) {
      RETURN_IF_ERROR(Found(name, "belongs to no image"));
      if (options_.repair) Settle({}, "taken away");
    }
    return {};
  }

 private:
  // What is found because the check itself was told to end is no finding.
  Status Found(std::string name, std::string what) {
    RETURN_IF_ERROR(context_.Check("check"));
    report_.problems.push_back({std::move(name), std::move(what)});
    return {};
  }
  // What came of the repair of what was found last.
  void Settle(const Status& done, std::string_view what) {
    report_.problems.back().what += done ? base::Cat("; ", what) : base::Cat("; not repaired: ", done.error().Text());
  }

  Store& store_;
  const CheckOptions& options_;
  const base::Context& context_;
  CheckReport& report_;
};

}  // namespace

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options, const base::Context& context) {
  CheckReport report;
  Check check(store, options, context, report);
  RETURN_IF_ERROR(check.Records());
  RETURN_IF_ERROR(check.Layers());
  RETURN_IF_ERROR(check.Copies());
  RETURN_IF_ERROR(check.Strays());
  return report;
}

}  // namespace berth::image
