#include "base/executor.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

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
    thread_ended.notify_all();
  }
};

Executor::Executor(Options options) : state_(std::make_shared<State>(std::move(options))) {}

Executor::~Executor() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->work_added.notify_all();
  state_->thread_ended.wait(lock, [&] { return state_->threads == 0; });
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
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, state_->options.stack_bytes);
  auto* keep = new std::shared_ptr<State>(state_);
  pthread_t thread{};
  const int err = pthread_create(
      &thread, &attributes,
      [](void* arg) -> void* {
        const std::unique_ptr<std::shared_ptr<State>> state(static_cast<std::shared_ptr<State>*>(arg));
        (*state)->Work();
        return nullptr;
      },
      keep);
  pthread_attr_destroy(&attributes);
  if (err != 0) {
    delete keep;
    if (state_->threads > 0) return {};  // the threads there are will come to it
    state_->queue.pop_back();
    return FailErrno(err, state_->options.name, ": start a thread");
  }
  pthread_setname_np(thread, state_->options.name.substr(0, 15).c_str());
  ++state_->threads;
  return {};
}

}  // namespace berth::base
