#include "base/executor.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace berth::base {

namespace {
constexpr auto kIdle = std::chrono::seconds(10);
}  // namespace

struct Executor::State {
  explicit State(Options given) : options(std::move(given)) {}

  const Options options;
  std::mutex mutex;
  std::condition_variable work_added;
  std::condition_variable thread_ended;
  std::deque<std::function<void()>> queue;
  std::vector<pthread_t> ended;  // to be joined
  size_t threads = 0;
  size_t idle = 0;
  bool stopping = false;

  void Work() {
    std::unique_lock lock(mutex);
    while (true) {
      if (queue.empty()) {
        if (stopping) break;
        ++idle;
        const bool woken = work_added.wait_for(lock, kIdle, [&] { return !queue.empty() || stopping; });
        --idle;
        if (!woken) break;
        continue;
      }
      std::function<void()> work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;  // what it holds may take time to let go of; not under the lock
      lock.lock();
    }
    --threads;
    // Each is joined, by the next one that ends or with the executor: what the end of a thread still runs (the
    // destructors of thread-local objects, libraries' too) must not meet the end of the process.
    const std::vector<pthread_t> former = std::exchange(ended, {pthread_self()});
    thread_ended.notify_all();
    lock.unlock();
    for (const pthread_t thread : former) pthread_join(thread, nullptr);
  }
};

Executor::Executor(Options options) : state_(std::make_shared<State>(std::move(options))) {}

Executor::~Executor() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->work_added.notify_all();
  state_->thread_ended.wait(lock, [&] { return state_->threads == 0; });
  const std::vector<pthread_t> ended = std::move(state_->ended);
  lock.unlock();
  for (const pthread_t thread : ended) pthread_join(thread, nullptr);
}

Status Executor::Submit(std::function<void()> work) {
  std::lock_guard lock(state_->mutex);
  if (state_->queue.size() >= state_->options.queue) {
    return Fail(Code::kResourceExhausted, state_->options.name, ": ", state_->queue.size(),
                " calls are waiting already");
  }
  state_->queue.push_back(std::move(work));
  if (state_->idle >= state_->queue.size() || state_->threads >= state_->options.threads) {
    state_->work_added.notify_one();
    return {};
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, state_->options.stack_bytes);
  pthread_t thread{};
  const int err = pthread_create(
      &thread, &attributes,
      [](void* state) -> void* {
        static_cast<State*>(state)->Work();
        return nullptr;
      },
      state_.get());
  pthread_attr_destroy(&attributes);
  if (err != 0) {
    if (state_->threads > 0) return {};  // the threads there are will come to it
    state_->queue.pop_back();
    return FailErrno(err, state_->options.name, ": start a thread");
  }
  pthread_setname_np(thread, state_->options.name.substr(0, 15).c_str());
  ++state_->threads;
  return {};
}

}  // namespace berth::base
