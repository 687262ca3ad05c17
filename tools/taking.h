// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// How a verb takes a point: looks, asks about a store's content before anybody waits for us, and takes it.
#pragma once

#include "command.h"
#include "ops/take.h"
#include "session.h"

#include <optional>
#include <string>
#include <vector>

namespace dmsnap::tool {

/// What is to be taken, of which devices, and how.
struct TakeWords {
    std::vector<std::string> devices;
    PointWish wish;
    std::optional<std::string> store; ///< a device
    std::optional<Sectors> chunk;
    Via via;
    std::optional<std::string> directory = {}; ///< on the device's own filesystem, for a file
    std::optional<Sectors> size = {};          ///< of a file to be made a store
    std::optional<unsigned> percent = {};      ///< the same, of the device
};

/// What --store, --chunksize, --via and --deadline say; the devices are left to the caller.
TakeWords take_words(const Arguments& arguments, PointWish wish);

/// What was seen before there was any lock that others wait for, and the answer to a question if something may be lost.
struct FirstLook {
    std::vector<BlockDevice> origins;
    std::optional<StoreWish> store;
};

/// Nothing where there is nothing to ask about.  Throws Error where the answer is no, or nobody can be asked.
std::optional<FirstLook> first_look(const Arguments& arguments, const TakeWords& words);

/// One point of one device or of several, from what the command line says and what is there.  What was taken, in the order
/// of the devices; nothing in a dry run, which prints the plan.
std::vector<TakenPoint> take(Change& change, const TakeWords& words, const std::optional<FirstLook>& first);

} // namespace dmsnap::tool
