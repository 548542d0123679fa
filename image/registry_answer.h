// What a registry's answers mean: errors, and when to come back.
#pragma once

#include <chrono>

#include "base/context.h"
#include "base/result.h"
#include "image/http.h"
#include "image/registry.h"

namespace berth::image {

// Statuses after which the same request may succeed later.
bool IsTransient(int status);

// The error that a status other than success stands for, with the registry's own words, cut and made printable.
// kNotFound, kUnauthenticated, kUnavailable for the transient ones, else kInternal.
base::Error ErrorOf(const HttpResponse& response);

// Retry-After in seconds or as a date (RFC 9110, section 10.2.3); zero when absent.
std::chrono::milliseconds RetryAfter(const HttpResponse& response);

// Waits after try number `attempt` (from 1) and before the next; at least `asked`, within options.longest_delay.
base::Status BackOff(const RegistryOptions& options, int attempt, std::chrono::milliseconds asked,
                     const base::Context& context);

}  // namespace berth::image
