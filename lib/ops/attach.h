// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <optional>

namespace dmsnap {

/// What a device is attached for.  What is attached for the sake of a first point goes again if that is never taken.
enum class AttachFor { good, first_point };

/// Puts `interpose` into the device's own table.  `chunk` nothing means the default.  An empty plan: it is attached
/// already.  Throws Error with what forbids it.
Plan plan_attach(const Machine& machine, const Candidate& candidate, std::optional<Sectors> chunk,
    const Uuid& new_origin, AttachFor purpose = AttachFor::good);

/// Gives the device the table it had.  With `force` that ends its snapshots too.  Throws Error while a snapshot is there
/// without `force`; while an image is in use, the device is suspended or somebody else's table is loaded for it in any
/// case.
Plan plan_detach(const Machine& machine, const OriginState& origin, bool force);

/// The table the device had before it was attached.
Table original_table(const OriginState& origin);

/// Checkpoints that end with a detach: what its caller owes its user a word about.
std::size_t checkpoints_of(const OriginState& origin);

} // namespace dmsnap
