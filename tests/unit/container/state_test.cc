#include "container/state.h"

#include <gtest/gtest.h>

#include "container/container.h"

namespace berth::container {
namespace {

TEST(ContainerState, EveryPairIsDecided) {
  struct Pair {
    State from, to;
    bool allowed;
  };
  for (const Pair& pair : {Pair{State::kCreated, State::kCreated, false}, Pair{State::kCreated, State::kRunning, true},
                           Pair{State::kCreated, State::kExited, true}, Pair{State::kRunning, State::kCreated, false},
                           Pair{State::kRunning, State::kRunning, false}, Pair{State::kRunning, State::kExited, true},
                           Pair{State::kExited, State::kCreated, false}, Pair{State::kExited, State::kRunning, false},
                           Pair{State::kExited, State::kExited, false}}) {
    EXPECT_EQ(CanChange(pair.from, pair.to), pair.allowed) << StateName(pair.from) << " to " << StateName(pair.to);
    Container container;
    container.id = "c1";
    container.state = pair.from;
    const auto changed = WithState(container, pair.to);
    EXPECT_EQ(changed.has_value(), pair.allowed);
    if (changed) {
      EXPECT_EQ(changed->state, pair.to);
    } else {
      EXPECT_EQ(changed.error().code, base::Code::kFailedPrecondition);
      EXPECT_EQ(changed.error().message, base::Cat("container c1 is ", StateName(pair.from)));
    }
    EXPECT_EQ(container.state, pair.from);
  }
}

}  // namespace
}  // namespace berth::container
