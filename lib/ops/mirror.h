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
#include "table/raid.h"

#include <chrono>
#include <optional>
#include <set>
#include <string>

namespace dmsnap {

struct MirrorState {
    DeviceNumber target;
    bool whole = false; ///< its ends too are mirrored: whoever finds it takes it for the device
    RaidStatus raid;    ///< its legs are the device and the target

    /// Whether the target has failed; the device goes on by itself.
    bool target_failed() const { return raid.health.size() != 2 || raid.health[1] == 'D'; }
    /// Whether the target has all data, but for its ends.
    bool in_sync() const { return raid.health.size() == 2 && raid.health[1] == 'A' && raid.in_sync(); }
    /// Whether it has given up copying, as it does where the device cannot be read.
    bool stuck() const { return raid.health == "Aa" && raid.action == "idle" && raid.in_sync(); }
    /// Whether the device has failed, and lives by the target.
    bool device_failed() const { return raid.health.size() == 2 && raid.health[0] == 'D'; }
};

/// Nothing if the table in the device's place is no mirror of dmsnap's.
std::optional<MirrorState> mirror_of(const EndpointState& endpoint);
/// Whether a table is what a swap would give the endpoint of a mirror.
bool is_swap(const EndpointState& endpoint, const Table& table);

/// What the leg of that table leads to between its ends.
std::optional<DeviceNumber> target_of_leg(const Table& leg);

/// The device to copy to, as it is found before that.
struct MirrorTarget {
    DeviceNumber number;
    std::string path;
    std::set<DeviceNumber> below; ///< it, and what it lies on at any depth
};

/// Begins to mirror a device; what the target carries at its ends goes first.  Throws Error with what forbids it.
Plan plan_mirror(const Machine& machine, const Candidate& candidate, const Uuid& redirect, const MirrorTarget& target,
    std::chrono::milliseconds deadline);

/// Mirrors the ends of a target that is in sync as well.  Throws Error if it is not in sync.
Plan plan_complete(const EndpointState& endpoint);
/// Ends a mirror, in whatever state.  A target that is no copy of this instant is left blank.  Throws Error if the device may
/// not have all data.
Plan plan_end(const EndpointState& endpoint);
/// Ends a mirror that is whole: the target stays behind as a copy of that instant.  Throws Error if it is not in sync.
Plan plan_split(const EndpointState& endpoint);
/// Makes the target's ends, which its leg of three parts leaves to nobody, say nothing.
BlankEnds blank_target(const EndpointState& endpoint);
/// From then on the live device runs on the target alone; with `erase` it is not found by its own signatures any more.  Throws
/// Error if it is not in sync.
Plan plan_swap(const EndpointState& endpoint, bool erase);
/// Whether a swap died before its end, and the rest of it.
bool is_half_swapped(const EndpointState& endpoint);
Plan plan_finish_swap(const EndpointState& endpoint);
/// After one that died before it: the note of what it was to do.
Plan plan_forget_swap(const EndpointState& endpoint);

} // namespace dmsnap
