// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/find.h"
#include "plan/step.h"

#include <vector>

namespace dmsnap {

/// Removes points, one of each origin and all in one step, or with `keep_point` only what snapshots keep; of an origin that is
/// gone, the image.  An empty plan: there is nothing to do.  Throws Error while the image of one is in use.
Plan plan_remove(const Machine& machine, const std::vector<FoundPoint>& points, bool keep_point);

} // namespace dmsnap
