// A store of a test's own.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "image/store.h"

namespace berth::image {

// Removes what nobody needs. nullptr, and a failure of the test, where it cannot be opened.
inline std::unique_ptr<Store> OpenStore(const base::Path& folder) {
  auto store = Store::Open({.folder = folder});
  if (!store) {
    ADD_FAILURE() << store.error().Text();
    return nullptr;
  }
  (*store)->Collect();
  return *std::move(store);
}

}  // namespace berth::image
