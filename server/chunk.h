// A long list cut into messages of a bounded size.
#pragma once

#include <utility>

#include <google/protobuf/repeated_field.h>

namespace berth::server {

constexpr int kChunkItems = 500;
constexpr size_t kChunkBytes = 1 << 20;  // a single item may be larger

// Moves the next items of `from`, beginning with `next`, into `into`: at least one while there is any.
template <typename Item>
void TakeChunk(google::protobuf::RepeatedPtrField<Item>& from, int& next,
               google::protobuf::RepeatedPtrField<Item>& into) {
  size_t bytes = 0;
  for (int taken = 0; next < from.size() && taken < kChunkItems; ++taken) {
    bytes += from.Get(next).ByteSizeLong();
    if (taken > 0 && bytes > kChunkBytes) return;
    into.Add(std::move(*from.Mutable(next++)));
  }
}

}  // namespace berth::server
