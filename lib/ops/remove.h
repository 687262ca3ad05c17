// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <string>
#include <string_view>

namespace dmsnap {

/// Removes a point, or with `keep_point` only what a snapshot keeps; of an origin that is gone, the image.  An empty
/// plan: there is nothing to do.  Throws Error while the point's image is in use.
Plan plan_remove(const Machine& machine, const OriginState& origin, const Point& point, bool keep_point);

/// A point and the origin it is on.
struct FoundPoint {
    const OriginState* origin;
    const Point* point;
};

/// Finds "NAME", a point's uuid or "GENERATION:ID" on any origin, or on `only` if that is given.  Throws Error if there is
/// none or more than one; Fault::chain_broken if a uuid or an id means none, for it may have meant one.
FoundPoint find_point(const Machine& machine, const OriginState* only, const std::string& name);

/// Finds what "NAME", a point's uuid or "GENERATION:ID" means in the present chain.  What does not exist there is
/// never matched to something else: Error (Fault::chain_broken).
const Point& resolve_point(const OriginState& origin, std::string_view text);

} // namespace dmsnap
