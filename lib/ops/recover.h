// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What a command that died left half done.  No journal says so: the tables and the points do.
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// Something that is not as it should be, and is not for dmsnap to change.
struct Problem {
    std::string device;
    std::string what; ///< a sentence without a full stop
    std::string next_step;
    bool operator==(const Problem&) const = default;
};

/// One thing that was left, and the steps that finish or undo it; none of them needs another one's.
struct Repair {
    DmName device;
    std::string found; ///< "an attach that was not finished"
    std::string cure;  ///< "undone"
    Plan plan;
    std::optional<DmInfo> swapped; ///< the live device whose table it touches
};

/// "DEVICE: FOUND: CURE"
std::string to_text(const Repair& repair);

struct Recovery {
    std::vector<Repair> repairs;
    std::vector<Problem> in_the_way; ///< somebody else's
};

/// Finds all that is left.  What it says holds as long as no other dmsnap is at work.
Recovery plan_recover(const Machine& machine);

} // namespace dmsnap
