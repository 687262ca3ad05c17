// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// A point and the origin it is on.
struct FoundPoint {
    const OriginState* origin;
    const Point* point;
};

/// Removes points, or with `keep_point` only what snapshots keep; of an origin that is gone, the image.  An empty
/// plan: there is nothing to do.  Throws Error while the image of one is in use.
Plan plan_remove(const Machine& machine, const std::vector<FoundPoint>& points, bool keep_point);

/// Finds "NAME", a point's or a set's uuid or "GENERATION:ID" on any origin, or on `only` if that is given: one point, or all there are
/// of a set.  Throws Error if there is none, or there are others of that name; Fault::chain_broken if a uuid or an id means
/// none, for it may have meant one.
std::vector<FoundPoint> find_points(const Machine& machine, const OriginState* only, const std::string& name);

/// Finds what "NAME", a point's uuid or "GENERATION:ID" means in the present chain.  What does not exist there is
/// never matched to something else: Error (Fault::chain_broken).
const Point& resolve_point(const OriginState& origin, std::string_view text);

} // namespace dmsnap
