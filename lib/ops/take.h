// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/attach.h"
#include "ops/facts.h"
#include "plan/step.h"
#include "world/overwrite_facts.h"
#include "world/store_file.h"

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
    Blob data;
    Tags tags;
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
};

/// The store that is wanted for a snapshot, the same one for all of a set.
struct StoreWish {
    OverwriteFacts facts; ///< as seen from the device
    std::string path;
    Uuid new_store;         ///< freshly drawn
    bool overwrite = false; ///< whatever signature it carries
};

/// How much of a device a file for its old data takes, unless told otherwise.
inline constexpr unsigned default_store_percent = 10;

/// A file of the filesystem on the device itself, for when no store is named and the device has none.
struct StoreFileWish {
    bool wanted = false;                           ///< it was asked for: no other store will do
    std::optional<StoreRoom> room = {};            ///< nothing: no filesystem of the device is mounted
    std::optional<Sectors> size = {};              ///< at most one of
    std::optional<unsigned> percent = {};          ///< these, of the device
    Uuid new_store = {};                           ///< freshly drawn
    std::chrono::milliseconds deadline{60 * 1000}; ///< for the filesystem to make it
};

/// A device of which a point is wanted.
struct Taker {
    Candidate candidate;
    Uuid point;                     ///< freshly drawn
    std::optional<StoreWish> store; ///< nothing: the one it has, or else:
    StoreFileWish file = {};
    // Only for a device to be attached:
    Uuid new_origin; ///< freshly drawn
    std::optional<Sectors> chunk;
    Via via = Via::automatic;
};

/// Takes a point of one device, or of several at one instant; attaches before if need be, and makes the images of
/// snapshots.  Throws Error.
Plan plan_take(const Machine& machine, const PointWish& wish, const std::vector<Taker>& takers);

} // namespace dmsnap
