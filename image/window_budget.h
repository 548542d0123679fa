// Memory for the windows of zstd frames, shared by all layers that are on their way.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "base/context.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::image {

// Thread-safe. First come, first served: a large window is not overtaken by small ones for ever.
class WindowBudget : public std::enable_shared_from_this<WindowBudget> {
 public:
  // Taken bytes, given back with their owner.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept;
    Share& operator=(Share&& other) noexcept;
    ~Share();
    uint64_t bytes() const { return bytes_; }

   private:
    friend class WindowBudget;
    Share(std::shared_ptr<WindowBudget> budget, uint64_t bytes) : budget_(std::move(budget)), bytes_(bytes) {}
    std::shared_ptr<WindowBudget> budget_;
    uint64_t bytes_ = 0;
  };

  static std::shared_ptr<WindowBudget> Make(uint64_t bytes);

  // Waits until there is so much. Who waits must hold no share, or two could wait for each other. kResourceExhausted
  // when there will never be so much.
  base::Result<Share> Take(uint64_t bytes, const base::Context& context);

  uint64_t free() const;
  size_t waiting() const;

 private:
  struct Waiter {
    uint64_t bytes = 0;
    base::UniqueFd turn;  // readable once the bytes are the waiter's
    bool served = false;
  };
  explicit WindowBudget(uint64_t bytes) : all_(bytes), free_(bytes) {}
  void GiveBack(uint64_t bytes);
  void Serve();  // under the mutex

  const uint64_t all_;
  mutable std::mutex mutex_;
  uint64_t free_;
  std::list<Waiter*> waiters_;
};

}  // namespace berth::image
