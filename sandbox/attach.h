// A pod's network attachment, as the network knows it and as the ledger keeps it.
#pragma once

#include "network/attach_request.h"
#include "sandbox/sandbox.h"
#include "state/ledger.h"

namespace berth::sandbox {

network::AttachRequest AttachRequestOf(const Sandbox& sandbox);

// Kind "cni". Durable: addresses outlive a reboot in the plugins' own files.
state::Entry CniEntry(const network::AttachRequest& request);
// What DEL needs when the network's cache has nothing of this attachment.
network::AttachRequest RequestOf(const state::Entry& entry);

}  // namespace berth::sandbox
