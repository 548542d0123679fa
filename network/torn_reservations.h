// What a power cut leaves of the addresses that the host-local plugin reserves.
#pragma once

#include "base/result.h"
#include "network/config_list.h"

namespace berth::network {

// The plugin writes a reservation without a flush, so a power cut can leave an empty file in its place: of nobody, and
// so of no use to any DEL or GC. Removes such files of the list's network. Only while no plugin can run: a new
// reservation is empty for a moment, too. For the first start after a boot. Returns how many there were.
base::Result<size_t> ForgetTornReservations(const ConfigList& list);

}  // namespace berth::network
