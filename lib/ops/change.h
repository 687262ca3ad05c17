// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/find.h"
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

/// Gives points, one of each origin and all in one step, another name, and their images and the links to those too, whoever
/// has them open.  An empty plan: they have that name.  Throws Error.
Plan plan_rename(const Machine& machine, const std::vector<FoundPoint>& points, const PointName& name);

/// Changes tags and data, in one step where the same is changed.  An empty plan: they are so already.  Throws Error.
Plan plan_change(const Machine& machine, const std::vector<FoundPoint>& points, const WordsWish& wish);

} // namespace dmsnap
