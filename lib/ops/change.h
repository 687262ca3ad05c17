// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <optional>
#include <vector>

namespace dmsnap {

/// What a point shall carry besides, or no longer.
struct WordsWish {
    std::vector<Tag> add;
    std::vector<Tag> remove;
    std::optional<Blob> data; ///< nothing: as it is
};

/// Gives a point another name, and its image and the link to that too, whoever has the image open.  An empty plan: it
/// has that name.  Throws Error.
Plan plan_rename(const Machine& machine, const OriginState& origin, const Point& point, const PointName& name);

/// Changes tags and data.  An empty plan: they are so already.  Throws Error.
Plan plan_change(const Machine& machine, const OriginState& origin, const Point& point, const WordsWish& wish);

} // namespace dmsnap
