// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Any table in the place of a live device: its bios are led to an endpoint, which has the table, and what that sends to
/// its base reaches the device itself.
///
///     live device --> endpoint: any table --> base --> live device
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <chrono>
#include <string>

namespace dmsnap {

/// What stands for the base in a user's table.
inline constexpr std::string_view base_word = "@base@";

/// A table as dmsetup(8) takes it, with `base_word` for the live device itself.  Throws Error (Fault::usage) if it is none,
/// does not name the base, or is not as long as the device; what it says is in no error, for that may be a key.
Table parse_endpoint_table(std::string_view text, const Candidate& candidate, const Uuid& redirect);

/// Whether a mirror in it would begin with copying something else over the live device.
bool copies_over_base(const Table& table, const Uuid& redirect);

/// Puts a table in the place of a live device, whose table or none it keeps.  Throws Error with what forbids it.
Plan plan_redirect(const Machine& machine, const Candidate& candidate, const Uuid& redirect, const Table& table,
    std::chrono::milliseconds deadline);

/// The device as it was, with all that was written.  Throws Error if it may not have all of that, unless one other device
/// has it and nobody uses this one, or while somebody else is at work on the endpoint.
Plan plan_direct(const EndpointState& endpoint, bool in_use = true);

/// Throws Error while its base is another's, or somebody else is at work on it.
void require_undisturbed(const EndpointState& endpoint, const char* operation);

/// The one device that the live device runs on instead of itself.
std::optional<DeviceNumber> serves_in_place(const EndpointState& endpoint);

/// What an endpoint begins and ends with, which does nothing; its base is there.
Table idle_table(const EndpointState& endpoint);
/// Whether the table is that.
bool does_nothing(const EndpointState& endpoint, const Table& table);

/// Takes away what a mirror had beside its endpoint, whatever is there of it.
Plan plan_end_mirror(const EndpointState& endpoint);

/// Takes away what a redirect consists of, whatever is there of it.
Plan plan_end_redirect(const EndpointState& endpoint);

} // namespace dmsnap
