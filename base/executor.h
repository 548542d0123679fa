// A bounded set of threads for one class of work (life cycle, exec, pull, removal), so that one class starves no other.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace berth::base {

// Threads are made when there is work for them and end after a while without. Thread-safe.
class Executor {
 public:
  struct Options {
    std::string name;     // of the threads, at most 15 bytes
    size_t threads = 4;   // at most
    size_t queue = 1024;  // waiting pieces of work; more are refused
    size_t stack_bytes = 256 << 10;
  };
  explicit Executor(Options options);
  // Finishes what runs and what waits, then returns.
  ~Executor();

  // kResourceExhausted when the queue is full. The work must not throw.
  Status Submit(std::function<void()> work);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::base
