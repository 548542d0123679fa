#include "server/chunk.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"

namespace berth::server {
namespace {

cri::ListContainersResponse Containers(int count, size_t bytes) {
  cri::ListContainersResponse out;
  for (int i = 0; i < count; ++i) {
    cri::Container& one = *out.add_containers();
    one.set_id(std::to_string(i));
    one.set_image_ref(std::string(bytes, 'x'));
  }
  return out;
}

std::vector<int> Sizes(cri::ListContainersResponse list) {
  std::vector<int> sizes;
  int expected = 0;
  for (int next = 0;;) {
    cri::StreamContainersResponse message;
    TakeChunk(*list.mutable_containers(), next, *message.mutable_containers());
    if (message.containers_size() == 0) return sizes;
    for (const auto& one : message.containers())
      EXPECT_EQ(one.id(), std::to_string(expected++)) << "each once, in order";
    sizes.push_back(message.containers_size());
  }
}

TEST(Chunk, IsBoundedInItemsAndBytes) {
  EXPECT_EQ(Sizes(Containers(0, 0)), std::vector<int>());
  EXPECT_EQ(Sizes(Containers(3, 10)), std::vector<int>({3}));
  EXPECT_EQ(Sizes(Containers(1201, 10)), std::vector<int>({500, 500, 201}));
  EXPECT_EQ(Sizes(Containers(5, 400'000)), std::vector<int>({2, 2, 1}));
  EXPECT_EQ(Sizes(Containers(2, 3'000'000)), std::vector<int>({1, 1})) << "an item is never cut";
}

}  // namespace
}  // namespace berth::server
