#include "image/file_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.h"

namespace berth::image {

using base::FailErrno;
using base::Status;
using base::UniqueFd;

namespace {

// Between two looks at the context.
constexpr off_t kPiece = 64 << 20;

Status CopyRange(int in, int out, off_t from, off_t to, const base::Context& context) {
  while (from < to) {
    RETURN_IF_ERROR(context.Check("copy"));
    off_t target = from;
    const ssize_t copied =
        copy_file_range(in, &from, out, &target, static_cast<size_t>(std::min(kPiece, to - from)), 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0) return FailErrno(errno, "copy");
    if (copied == 0) return FailErrno(EIO, "the file became shorter");
  }
  return {};
}

}  // namespace

Status CopyContent(const std::string& from, const std::string& to, const base::Context& context) {
  ASSIGN_OR_RETURN(const UniqueFd in, base::Open(from, O_RDONLY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const UniqueFd out, base::Open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (ioctl(out.get(), FICLONE, in.get()) == 0) return {};
  struct stat info {};
  if (fstat(in.get(), &info) != 0) return FailErrno(errno, "stat ", from);
  if (ftruncate(out.get(), info.st_size) != 0) return FailErrno(errno, "set size of ", to);
  for (off_t at = 0; at < info.st_size;) {
    const off_t data = lseek(in.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // the rest is a hole
    if (data < 0) return FailErrno(errno, "look for data in ", from);
    const off_t hole = lseek(in.get(), data, SEEK_HOLE);
    if (hole < 0) return FailErrno(errno, "look for holes in ", from);
    RETURN_IF_ERROR(CopyRange(in.get(), out.get(), data, hole, context), from);
    at = hole;
  }
  return {};
}

Status FlushFileSystem(const base::Path& path) {
  ASSIGN_OR_RETURN(const UniqueFd fd, base::Open(path, O_RDONLY | O_DIRECTORY));
  if (syncfs(fd.get()) != 0) return FailErrno(errno, "sync ", path.native());
  return {};
}

}  // namespace berth::image
