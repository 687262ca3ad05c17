// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "world/block_device.h"
#include "world/signature.h"
#include "world/store_header.h"
#include "world/users.h"

#include <optional>
#include <set>

namespace dmsnap {

/// How two devices stand to each other.
enum class StackRelation { unrelated, same, above, below };

/// Everything that decides whether a device may be written over for the sake of an origin, as its store or as a copy of
/// it; the verdict is ops' (no I/O there).
struct OverwriteFacts {
    BlockDevice device;
    StackRelation to_origin = StackRelation::unrelated; ///< where the device is, seen from the origin
    std::set<DeviceNumber> below;                       ///< the device, and what it lies on at any depth
    Bytes origin_block{512};                            ///< the origin's logical block
    bool claimed = false;                               ///< is_claimed(), and not always by one seen
    Users users;                                        ///< who; partitions alone claim nothing, but are in the way
    std::optional<Signature> signature;
    StoreHeaderReading header;
};

/// Whether somebody holds the device exclusively: a mount, another device, swap, or a program that asked for that. Holds it
/// itself for an instant, which may fail what another does with it: for one who has the lock that he would need.
bool is_claimed(const BlockDevice& device, const Roots& roots = {});

/// Reads them all but `claimed`. Changes nothing. Throws Error if the device cannot be read.
OverwriteFacts read_overwrite_facts(const BlockDevice& device, const BlockDevice& origin, const Roots& roots = {});

} // namespace dmsnap
