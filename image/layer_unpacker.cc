#include "image/layer_unpacker.h"

#include <sys/stat.h>

#include <array>
#include <condition_variable>
#include <optional>
#include <system_error>
#include <thread>

#include "base/guarded.h"
#include "image/layer_writer.h"
#include "image/tar_reader.h"

namespace berth::image {

using base::Result;
using base::Status;

namespace {

constexpr size_t kBuffers = 8;
constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

StagedFolder& StagedFolder::operator=(StagedFolder&& other) noexcept {
  if (this != &other) {
    StagedFolder old(std::exchange(path_, std::exchange(other.path_, {})));
  }
  return *this;
}

StagedFolder::~StagedFolder() {
  // What cannot be removed stays under tmp/, which the store empties when it opens.
  if (!path_.empty()) (void)base::RemoveTree(path_);
}

// Buffers go round: the caller fills one while the thread hashes and applies those before it.
struct LayerUnpacker::State : public ByteSink {
  State(StagedFolder staged, const LayerLimits& limits, const base::Context& context)
      : folder(std::move(staged)), decompressor(limits.decompress, context) {}

  Result<std::span<uint8_t>> Room() override;
  Status Filled(size_t count) override;
  Status Hand();   // the buffer being filled goes to the thread
  Status Drain();  // all buffers are applied and the thread has ended
  void Stop();
  void Run();
  Status Apply(std::span<const uint8_t> bytes);

  struct Ring {
    size_t handed = 0;   // buffers given to the thread since the start
    size_t applied = 0;  // buffers it is through with
    bool last = false;   // no more will come
    bool stop = false;
    Status status;  // the thread's failure
  };

  StagedFolder folder;
  Decompressor decompressor;
  Sha256 hash;
  std::unique_ptr<LayerWriter> writer;
  std::optional<TarReader> reader;
  Status failed;  // the first failure: final

  std::array<std::vector<uint8_t>, kBuffers> buffers;
  std::array<size_t, kBuffers> sizes{};
  size_t filling = 0;  // buffers completed since the start; the current one is filling % kBuffers
  size_t filled = 0;   // bytes in the current one

  base::Guarded<Ring> ring;
  std::condition_variable changed;
  std::thread thread;
  bool threadless = false;
};

Status LayerUnpacker::State::Apply(std::span<const uint8_t> bytes) {
  hash.Update(bytes);
  return reader->Write(bytes);
}

void LayerUnpacker::State::Run() {
  while (true) {
    size_t index = 0;
    {
      auto locked = ring.Lock();
      changed.wait(locked.lock(), [&] { return locked->stop || locked->handed > locked->applied || locked->last; });
      if (locked->stop || locked->handed == locked->applied) return;
      index = locked->applied % kBuffers;
    }
    Status status = Apply(std::span(buffers[index]).first(sizes[index]));
    auto locked = ring.Lock();
    ++locked->applied;
    changed.notify_all();
    if (!status) {
      locked->status = std::move(status);
      return;
    }
  }
}

Result<std::span<uint8_t>> LayerUnpacker::State::Room() {
  std::vector<uint8_t>& buffer = buffers[filling % kBuffers];
  if (filled == 0 && thread.joinable()) {
    auto locked = ring.Lock();
    changed.wait(locked.lock(), [&] { return !locked->status || filling - locked->applied < kBuffers; });
    if (!locked->status) return tl::make_unexpected(locked->status.error());
  }
  if (buffer.empty()) buffer.resize(kBufferBytes);
  return std::span(buffer).subspan(filled);
}

Status LayerUnpacker::State::Filled(size_t count) {
  filled += count;
  return filled == kBufferBytes ? Hand() : Status();
}

Status LayerUnpacker::State::Hand() {
  const size_t index = filling % kBuffers;
  sizes[index] = std::exchange(filled, 0);
  // A layer that fits into one buffer needs no thread, and a host that has no more threads gets along without.
  if (!thread.joinable() && !threadless) {
    try {
      thread = std::thread([this] { Run(); });
    } catch (const std::system_error&) {
      threadless = true;
    }
  }
  ++filling;
  if (threadless) return Apply(std::span(buffers[index]).first(sizes[index]));
  ring.With([&](Ring& value) { ++value.handed; });
  changed.notify_all();
  return {};
}

Status LayerUnpacker::State::Drain() {
  if (!thread.joinable()) {
    const size_t index = filling % kBuffers;
    return filled == 0 ? Status() : Apply(std::span(buffers[index]).first(std::exchange(filled, 0)));
  }
  if (filled > 0) RETURN_IF_ERROR(Hand());
  ring.With([](Ring& value) { value.last = true; });
  changed.notify_all();
  thread.join();
  return ring.With([](Ring& value) { return value.status; });
}

void LayerUnpacker::State::Stop() {
  if (!thread.joinable()) return;
  ring.With([](Ring& value) { value.stop = true; });
  changed.notify_all();
  thread.join();
}

LayerUnpacker::LayerUnpacker(std::unique_ptr<State> state) : state_(std::move(state)) {}

LayerUnpacker::~LayerUnpacker() {
  state_->Stop();
}

Result<std::unique_ptr<LayerUnpacker>> LayerUnpacker::Create(StagedFolder folder, const LayerLimits& limits,
                                                             const base::Context& context) {
  auto state = std::make_unique<State>(std::move(folder), limits, context);
  const base::Path diff = state->folder.path() / "diff";
  RETURN_IF_ERROR(base::MakeDirs(diff, 0755));
  if (chmod(diff.c_str(), 0755) != 0) return base::FailErrno(errno, "chmod ", diff.native());
  ASSIGN_OR_RETURN(state->writer, LayerWriter::Create(diff, limits));
  state->reader.emplace(*state->writer);
  return std::unique_ptr<LayerUnpacker>(new LayerUnpacker(std::move(state)));
}

Status LayerUnpacker::Write(std::span<const uint8_t> compressed) {
  State& state = *state_;
  if (!state.failed) return state.failed;
  state.failed = state.decompressor.Write(compressed, state);
  return state.failed;
}

Result<UnpackedLayer> LayerUnpacker::Finish(const base::Context& context) {
  State& state = *state_;
  const auto finish = [&]() -> Result<LayerNotes> {
    RETURN_IF_ERROR(std::exchange(state.failed, Status()));
    RETURN_IF_ERROR(context.Check("unpack layer"));
    RETURN_IF_ERROR(state.decompressor.Finish(state));
    RETURN_IF_ERROR(state.Drain());
    RETURN_IF_ERROR(state.reader->Finish());
    return state.writer->Finish();
  };
  auto notes = finish();
  if (!notes) {
    state.failed = tl::make_unexpected(notes.error());
    return tl::make_unexpected(std::move(notes).error());
  }
  return UnpackedLayer{
      .folder = std::move(state.folder),
      .diff_id = state.hash.Finish(),
      .compression = state.decompressor.compression(),
      .tar_bytes = state.decompressor.output_bytes(),
      .bytes = state.writer->bytes(),
      .inodes = state.writer->inodes(),
      .links = state.writer->links(),
      .exact = state.writer->exact(),
      .sum = state.writer->sum(),
      .notes = *std::move(notes),
  };
}

}  // namespace berth::image
