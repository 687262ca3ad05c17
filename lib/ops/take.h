// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/attach.h"
#include "ops/facts.h"
#include "plan/step.h"
#include "world/store_facts.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// A point that is wanted.
struct PointWish {
    PointWish(PointKind wanted_kind, PointName wanted_name) : kind(wanted_kind), name(std::move(wanted_name)) {}

    PointKind kind;
    PointName name;
    Uuid uuid; ///< freshly drawn
    Blob data;
    Tags tags;
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    // Only for a device to be attached:
    std::optional<Sectors> chunk;
    Via via = Via::automatic;
    Uuid new_origin; ///< freshly drawn
};

/// The store that is wanted for a snapshot.
struct StoreWish {
    StoreFacts facts;
    std::string path;
    Uuid new_store;         ///< freshly drawn
    bool overwrite = false; ///< whatever signature it carries
};

/// Why a device may not become a store; nothing if it may.  What is there goes only with `overwrite`, what is in use
/// never.
std::optional<std::string> store_refusal(const StoreFacts& facts, bool overwrite);
/// Whether it is a signature alone that stands against it, so that a "yes" would do.
bool only_signature_refuses(const StoreFacts& facts);
/// Whether it is somebody's opening it that stands against it, which may be over in a moment.
bool may_pass(const StoreFacts& facts);

/// Takes a point, attaches before if need be, and makes a snapshot's image.  Without a store wish a snapshot uses the
/// store its origin has.  Throws Error.
Plan plan_take(
    const Machine& machine, const Candidate& candidate, const PointWish& wish, const std::optional<StoreWish>& store);

} // namespace dmsnap
