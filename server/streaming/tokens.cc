#include "server/streaming/tokens.h"

#include <sys/random.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::streaming {
namespace {

base::Result<std::string> MakeToken() {
  char bytes[6];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return base::FailErrno(errno, "getrandom");
  std::string token = base::Base64Encode({bytes, sizeof bytes});  // eight characters without padding
  for (char& c : token) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return token;
}

}  // namespace

void Tokens::DropOld(State& state, base::TimePoint now) {
  while (!state.ages.empty() && state.ages.front().first <= now) {
    state.orders.erase(state.ages.front().second);
    state.ages.pop_front();
  }
}

base::Result<std::string> Tokens::Insert(Order order) {
  ASSIGN_OR_RETURN(const std::string token, MakeToken());
  const base::TimePoint now = options_.now();
  return state_.With([&](State& state) -> base::Result<std::string> {
    DropOld(state, now);
    if (state.orders.size() >= options_.limit) {
      return base::Fail(base::Code::kResourceExhausted, "maximum number of in-flight requests exceeded");
    }
    const base::TimePoint until = now + std::chrono::duration_cast<base::Monotonic::duration>(options_.lifetime);
    if (!state.orders.emplace(token, Waiting{std::move(order), until}).second) {
      return base::Fail(base::Code::kUnavailable, "a random token came twice; try again");
    }
    state.ages.emplace_back(until, token);
    return token;
  });
}

std::optional<Order> Tokens::Take(std::string_view token) {
  const base::TimePoint now = options_.now();
  return state_.With([&](State& state) -> std::optional<Order> {
    DropOld(state, now);
    const auto found = state.orders.find(token);
    if (found == state.orders.end()) return std::nullopt;
    Order order = std::move(found->second.order);
    state.orders.erase(found);
    return order;
  });
}

}  // namespace berth::streaming
