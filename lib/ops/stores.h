// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Where the old data of snapshots that are to be taken goes.
///
///   --store DEVICE ---------------------------------> a device, for all of a set
///   the store the device has -----------------------> that one
///   neither, or --store DIRECTORY ------------------> a file of the filesystem on the device itself, for each
#pragma once

#include "ops/attach.h"
#include "ops/take.h"

#include <vector>

namespace dmsnap {

/// What is to be done about stores, in this order.
struct StorePlan {
    Plan prepare;
    std::vector<Plan> lay; ///< of each taker: once its device has a base, and before it is attached
    Plan use;
    Plan close; ///< those that nobody needs any more
};

/// For takers and their attachments, of each as many.  Throws Error.
StorePlan plan_stores(
    const Machine& machine, const std::vector<Taker>& takers, const std::vector<Attachment>& attachments);

} // namespace dmsnap
