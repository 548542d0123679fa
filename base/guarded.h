// A value that can be reached only while its mutex is held.
#pragma once

#include <mutex>
#include <utility>

namespace berth::base {

// Hold the lock for a change of state, for microseconds: no system call that can wait, no child, no other lock.
template <typename T>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  class Locked {
   public:
    Locked(std::mutex& mutex, T& value) : lock_(mutex), value_(&value) {}
    T* operator->() { return value_; }
    T& operator*() { return *value_; }
    // For std::condition_variable.
    std::unique_lock<std::mutex>& lock() { return lock_; }

   private:
    std::unique_lock<std::mutex> lock_;
    T* value_;
  };

  Locked Lock() { return Locked(mutex_, value_); }
  // Runs fn(value) under the lock and returns what it returns.
  template <typename Fn>
  auto With(Fn&& fn) {
    std::lock_guard lock(mutex_);
    return std::forward<Fn>(fn)(value_);
  }

 private:
  std::mutex mutex_;
  T value_{};
};

}  // namespace berth::base
