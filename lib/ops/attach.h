// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "dm-interpose.h"
#include "ops/facts.h"
#include "plan/step.h"

#include <chrono>
#include <optional>

namespace dmsnap {

/// What a device is attached for.  What is attached for the sake of a first point goes again if that is never taken.
enum class AttachFor { good, first_point };

/// How an origin gets to see the bios of a device.
enum class Via {
    automatic, ///< by its table if it has one that nobody else manages
    table,     ///< `interpose` stands in the device's own table
    hook,      ///< the module's hook shows them to a device of its own
};

/// Whether a device may come to be attached by the hook, so that all that read_use() tells for it must be known.
bool may_use_hook(const Candidate& candidate, Via via);

struct AttachWish {
    std::optional<Sectors> chunk = {}; ///< nothing: the default
    Via via = Via::automatic;
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT}; ///< of the hook's freezing and waiting
    AttachFor purpose = AttachFor::good;
};

/// A device that is attached, or will be once `plan` is done.
struct Attachment {
    DmName name; ///< of the device that takes messages
    Uuid origin;
    Sectors chunk;
    Sectors length;
    DeviceRef base; ///< what its bios go on to
    Sectors base_start;
    Table before = {}; ///< of the device named, which tells that this is so; empty: it is not there yet
    Plan below = {};   ///< makes the base, if it is a device of its own
    Plan plan = {};    ///< the rest; empty: it is attached already
};

/// Throws Error unless the module's hook may see a live device, and its filesystems can be frozen for that.
void require_hookable(const Machine& machine, const Candidate& candidate);

/// Throws Error if a store lies on it: what is kept there would be written to the device, which would keep what that destroys,
/// in a store.
void require_carries_no_store(const Machine& machine, const Candidate& candidate);

/// Throws Error with what forbids it.
Attachment plan_attachment(
    const Machine& machine, const Candidate& candidate, const Uuid& new_origin, const AttachWish& wish);

/// Only the plan of it.
Plan plan_attach(
    const Machine& machine, const Candidate& candidate, const Uuid& new_origin, const AttachWish& wish = {});

/// Ends an origin whose live device has another size than what is watched of it, so that it can be attached anew.  Empty
/// if it has not, or if snapshots would go with that.
Plan plan_renewal(const Machine& machine, const OriginState& origin);

/// Gives the device the table it had, or ends the hook.  With `force` that ends its snapshots too.  Throws Error while a snapshot is there
/// without `force`; while an image is in use, the device is suspended or somebody else's table is loaded for it in any
/// case.
Plan plan_detach(const Machine& machine, const OriginState& origin, bool force);

/// The table the device had before it was attached; not of one that the hook sees, which has it still.
Table original_table(const OriginState& origin);

/// Checkpoints that end with a detach: what its caller owes its user a word about.
std::size_t checkpoints_of(const OriginState& origin);

} // namespace dmsnap
