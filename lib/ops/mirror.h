// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// A mirror of a live device on another one, its target: a raid1 in the live device's place.
///
///     live device --> endpoint: raid1 --+--> base --> live device
///                                       `--> leg --> target
///                                             `- both ends --> base, until all between them is in sync
///     meta: where it writes about itself, and reads zeros
///
/// So the target carries nothing that anybody would take for a filesystem, a partition table or a volume until it is one.
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <chrono>
#include <optional>
#include <string>

namespace dmsnap {

struct MirrorState {
    DeviceNumber target;
    bool whole = false; ///< its ends too are mirrored: whoever finds it takes it for the device
    std::string health; ///< raid_health(): the device, the target
    Sectors synced;
    Sectors all;

    /// Whether the target has failed; the device goes on by itself.
    bool target_failed() const { return health.size() != 2 || health[1] == 'D'; }
    /// Whether the target has all data, but for its ends.
    bool in_sync() const { return health.size() == 2 && health[1] == 'A' && synced == all; }
};

/// Nothing if the table in the device's place is no mirror of dmsnap's.
std::optional<MirrorState> mirror_of(const EndpointState& endpoint);
/// Whether a table is what a swap would give the endpoint of a mirror.
bool is_swap(const EndpointState& endpoint, const Table& table);

/// Begins to mirror a device; the target's ends are blank.  Throws Error with what forbids it.
Plan plan_mirror(const Machine& machine, const Candidate& candidate, const Uuid& redirect, DeviceNumber target,
    std::chrono::milliseconds deadline);

/// Mirrors the ends of a target that is in sync as well; `target` is its path.  Throws Error if it is not in sync.
Plan plan_complete(const EndpointState& endpoint, const std::string& target);
/// Ends a mirror that is whole: the target stays behind as a copy of that instant.  Throws Error if it is not in sync.
Plan plan_split(const EndpointState& endpoint);
/// From then on the live device runs on the target alone.  Throws Error if it is not in sync.
Plan plan_swap(const EndpointState& endpoint);

} // namespace dmsnap
