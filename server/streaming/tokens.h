// Orders that wait for their client: each under a random name that works once and not for long.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"
#include "server/streaming/orders.h"

namespace berth::streaming {

// Thread-safe.
class Tokens {
 public:
  struct Options {
    std::chrono::nanoseconds lifetime{std::chrono::minutes(1)};
    size_t limit = 1000;
    std::function<base::TimePoint()> now = [] { return base::Monotonic::now(); };
  };
  Tokens() : Tokens(Options()) {}
  explicit Tokens(Options options) : options_(std::move(options)) {}

  // The token. kResourceExhausted when too many wait.
  base::Result<std::string> Insert(Order order);
  // What it stands for; nothing for one that is unknown, used or too old. It is used up whatever comes of it.
  std::optional<Order> Take(std::string_view token);

 private:
  struct Waiting {
    std::string token;
    Order order;
    base::TimePoint until;
  };
  struct State {
    std::list<Waiting> waiting;  // oldest first
    std::map<std::string_view, std::list<Waiting>::iterator> by_token;
  };
  static void DropOld(State& state, base::TimePoint now);

  const Options options_;
  base::Guarded<State> state_;
};

}  // namespace berth::streaming
