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
  while (!state.waiting.empty() && state.waiting.front().until <= now) {
    state.by_token.erase(state.waiting.front().token);
    state.waiting.pop_front();
  }
}

base::Result<std::string> Tokens::Insert(Order order) {
  ASSIGN_OR_RETURN(const std::string token, MakeToken());
  const base::TimePoint now = options_.now();
  return state_.With([&](State& state) -> base::Result<std::string> {
    DropOld(state, now);
    if (state.waiting.size() >= options_.limit) {
      return base::Fail(base::Code::kResourceExhausted, "maximum number of in-flight requests exceeded");
    }
    if (state.by_token.contains(token)) {
      return base::Fail(base::Code::kUnavailable, "a random token came twice; try again");
    }
    const base::TimePoint until = now + std::chrono::duration_cast<base::Monotonic::duration>(options_.lifetime);
    const auto added = state.waiting.insert(state.waiting.end(), {token, std::move(order), until});
    state.by_token.emplace(added->token, added);
    return token;
  });
}

std::optional<Order> Tokens::Take(std::string_view token) {
  const base::TimePoint now = options_.now();
  return state_.With([&](State& state) -> std::optional<Order> {
    DropOld(state, now);
    const auto found = state.by_token.find(token);
    if (found == state.by_token.end()) return std::nullopt;
    const auto waiting = found->second;
    state.by_token.erase(found);
    Order order = std::move(waiting->order);
    state.waiting.erase(waiting);
    return order;
  });
}

}  // namespace berth::streaming
