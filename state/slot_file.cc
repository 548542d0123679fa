#include "state/slot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "base/strings.h"
#include "state/checksum.h"

namespace berth::state {
namespace {

using base::Cat;
using base::Code;
using base::Durability;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr size_t kBlock = 4096;
constexpr size_t kMaxHeader = 96;
constexpr int64_t kMaxSequence = int64_t{1} << 62;
constexpr std::string_view kMagic = "berth-slot 1 ";

struct Slot {
  size_t capacity = 0;
  uint64_t sequence = 0;
  std::string_view content;
};

std::string Numbers(size_t capacity, uint64_t sequence, size_t length) {
  return Cat(capacity, ' ', sequence, ' ', length, ' ');
}

// The whole slot, header to last newline.
std::string Encode(size_t capacity, uint64_t sequence, std::string_view content) {
  std::string numbers = Numbers(capacity, sequence, content.size());
  const std::string checksum = ChecksumText(Cat(numbers, content));
  std::string out = Cat(kMagic, numbers, checksum, '\n', content, '\n');
  out.resize(capacity - 1, ' ');
  out.push_back('\n');
  return out;
}

// The capacity that a header claims, intact or not.
std::optional<size_t> ClaimedCapacity(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return std::nullopt;
  bytes.remove_prefix(kMagic.size());
  const auto claimed = base::ParseInt(bytes.substr(0, bytes.find(' ')));
  if (!claimed || *claimed <= 0 || *claimed % kBlock != 0) return std::nullopt;
  return static_cast<size_t>(*claimed);
}

// Nothing when it is not intact. `bytes` starts at the slot and may end early.
std::optional<Slot> Decode(std::string_view bytes) {
  const size_t line_end = bytes.substr(0, kMaxHeader).find('\n');
  if (line_end == std::string_view::npos || !bytes.starts_with(kMagic)) return std::nullopt;
  const std::string_view header = bytes.substr(kMagic.size(), line_end - kMagic.size());
  const auto fields = base::Split(header, ' ');
  if (fields.size() != 4) return std::nullopt;
  const auto capacity = base::ParseInt(fields[0]);
  const auto sequence = base::ParseInt(fields[1]);
  const auto length = base::ParseInt(fields[2]);
  if (!capacity || !sequence || !length || *sequence < 0 || *sequence > kMaxSequence || *length < 0)
    return std::nullopt;
  if (*capacity <= 0 || *capacity > static_cast<int64_t>(SlotFile::kMaxCapacity) || *capacity % kBlock != 0)
    return std::nullopt;
  const size_t size = static_cast<size_t>(*length);
  if (size > bytes.size() - line_end - 1) return std::nullopt;
  const std::string_view content = bytes.substr(line_end + 1, size);
  const std::string numbers = Numbers(static_cast<size_t>(*capacity), static_cast<uint64_t>(*sequence), size);
  if (ChecksumText(Cat(numbers, content)) != fields[3]) return std::nullopt;
  return Slot{static_cast<size_t>(*capacity), static_cast<uint64_t>(*sequence), content};
}

size_t CapacityFor(size_t content) {
  const size_t needed = content + SlotFile::kSlack + kMaxHeader;
  return (needed + kBlock - 1) / kBlock * kBlock;
}

Status WriteAt(int fd, std::string_view data, size_t offset, const base::Path& path) {
  while (!data.empty()) {
    const ssize_t wrote = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FailErrno(errno, "write ", path.native());
    data.remove_prefix(static_cast<size_t>(wrote));
    offset += static_cast<size_t>(wrote);
  }
  return {};
}

struct Contents {
  size_t capacity = 0;
  std::optional<Slot> newest;
  bool damaged = false;  // a slot that is not intact
};

// Of a slot in its place: even sequence numbers lie in the first one, odd ones in the second.
std::optional<Slot> DecodeAt(std::string_view bytes, size_t capacity, uint64_t parity) {
  const size_t offset = parity * capacity;
  if (offset >= bytes.size()) return std::nullopt;
  auto slot = Decode(bytes.substr(offset));
  if (!slot || slot->sequence % 2 != parity || (capacity != 0 && slot->capacity != capacity)) return std::nullopt;
  return slot;
}

Contents DecodeFile(std::string_view bytes) {
  Contents out;
  const auto first = DecodeAt(bytes, 0, 0);
  // With the first header gone, the file's size tells where the second slot is.
  const size_t half = bytes.size() / 2 / kBlock * kBlock;
  out.capacity = first ? first->capacity : ClaimedCapacity(bytes).value_or(half);
  auto second = out.capacity > 0 ? DecodeAt(bytes, out.capacity, 1) : std::nullopt;
  if (!first && !second && half > 0) {
    out.capacity = half;
    second = DecodeAt(bytes, half, 1);
  }
  out.newest = first && (!second || first->sequence > second->sequence) ? first : second;
  out.damaged = !first || !second;
  return out;
}

base::Path TemporaryOf(const base::Path& path) {
  return path.native() + ".tmp";
}

}  // namespace

Result<SlotFile> SlotFile::Create(base::Path path, std::string_view content, Durability durability) {
  ASSIGN_OR_RETURN(SlotFile file, Make(std::move(path), content, durability));
  if (durability == Durability::kDurable) RETURN_IF_ERROR(file.SyncName());
  return file;
}

// All of Create but the syncing of names.
Result<SlotFile> SlotFile::Make(base::Path path, std::string_view content, Durability durability) {
  const size_t capacity = CapacityFor(content.size());
  if (capacity > kMaxCapacity) {
    return Fail(Code::kResourceExhausted, "write ", path.native(), ": ", content.size(),
                " bytes are too many for a record");
  }
  const base::Path temporary = TemporaryOf(path);
  const auto make = [&]() -> Status {
    ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    const off_t size = static_cast<off_t>(2 * capacity);
    // Where it is not supported, writing both slots whole takes the blocks just as well.
    if (fallocate(fd.get(), 0, 0, size) != 0 && errno != EOPNOTSUPP)
      return FailErrno(errno, "reserve ", temporary.native());
    // Both slots are written now, so that no later write has to turn reserved blocks into written ones.
    RETURN_IF_ERROR(WriteAt(fd.get(), Encode(capacity, 0, content) + Encode(capacity, 1, content), 0, temporary));
    if (durability == Durability::kDurable && fdatasync(fd.get()) != 0)
      return FailErrno(errno, "sync ", temporary.native());
    if (rename(temporary.c_str(), path.c_str()) != 0) return FailErrno(errno, "rename ", temporary.native());
    return {};
  };
  if (Status status = make(); !status) {
    unlink(temporary.c_str());
    return tl::make_unexpected(std::move(status).error());
  }
  SlotFile file(std::move(path));
  file.capacity_ = capacity;
  file.sequence_ = 1;
  return file;
}

Result<SlotFile> SlotFile::Open(base::Path path) {
  unlink(TemporaryOf(path).c_str());
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(path, 2 * kMaxCapacity));
  const Contents contents = DecodeFile(bytes);
  if (!contents.newest) return Fail(Code::kInternal, "read ", path.native(), ": damaged: no slot of it is intact");
  SlotFile file(std::move(path));
  file.capacity_ = contents.capacity;
  file.sequence_ = contents.newest->sequence;
  file.recovered_ = contents.damaged;
  return file;
}

Result<std::string> SlotFile::Read() const {
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(path_, O_RDONLY));
  std::string bytes(capacity_, '\0');
  const ssize_t got = pread(fd.get(), bytes.data(), capacity_, static_cast<off_t>(sequence_ % 2 * capacity_));
  if (got < 0) return FailErrno(errno, "read ", path_.native());
  bytes.resize(static_cast<size_t>(got));
  const auto slot = Decode(bytes);
  if (!slot || slot->sequence != sequence_) return Fail(Code::kInternal, "read ", path_.native(), ": damaged");
  return std::string(slot->content);
}

Status SlotFile::Write(std::string_view content, Durability durability) {
  if (content.size() + kMaxHeader + 2 > capacity_) {
    ASSIGN_OR_RETURN(*this, Make(path_, content, durability));
    return durability == Durability::kDurable ? SyncName() : Status();
  }
  const uint64_t next = sequence_ + 1;
  const size_t offset = next % 2 * capacity_;
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(path_, O_WRONLY));
  Status status = WriteAt(fd.get(), Encode(capacity_, next, content), offset, path_);
  if (status && durability == Durability::kDurable && fdatasync(fd.get()) != 0) {
    status = FailErrno(errno, "sync ", path_.native());
  }
  if (!status) {
    // What was refused shall not come back after a restart; should this fail too, the caller has had the error.
    if (Status spoiled = WriteAt(fd.get(), std::string(kMagic.size(), ' '), offset, path_); !spoiled) {
      status.error().clean_up = spoiled.error().message;
    }
    return status;
  }
  sequence_ = next;
  return durability == Durability::kDurable ? SyncName() : Status();
}

Status SlotFile::SyncName() {
  if (name_synced_) return {};
  const base::Path folder = path_.parent_path();
  RETURN_IF_ERROR(base::SyncFolder(folder));
  if (folder.has_parent_path()) RETURN_IF_ERROR(base::SyncFolder(folder.parent_path()));
  name_synced_ = true;
  return {};
}

Status SlotFile::Sync() {
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(path_, O_RDONLY));
  if (fdatasync(fd.get()) != 0) return FailErrno(errno, "sync ", path_.native());
  return SyncName();
}

Status SlotFile::Remove(Durability durability) {
  RETURN_IF_ERROR(base::RemoveFile(path_));
  return durability == Durability::kDurable ? base::SyncFolder(path_.parent_path()) : Status();
}

}  // namespace berth::state
