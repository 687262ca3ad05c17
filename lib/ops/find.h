// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// A point and the origin it is on.
struct FoundPoint {
    const OriginState* origin;
    const Point* point;
};

/// What a user names points by: "NAME", a point's or a set's uuid, or "GENERATION:ID".
class PointRef {
public:
    explicit PointRef(std::string_view text);

    /// A name may be given anew; a uuid or an id means one point or set, or none any more.
    bool by_name() const { return !id_ && !uuid_; }
    bool means(const OriginState& origin, const Point& point) const;

private:
    std::string text_;
    std::optional<PointId> id_;
    std::optional<Uuid> uuid_;
};

/// The points that `text` means on any origin, or on `only` if that is given: one, or all there are of a set.  Throws
/// Error if there is none, or there are others of that name; Fault::chain_broken if a uuid or an id means none, for it
/// may have meant one.
std::vector<FoundPoint> find_points(const Machine& machine, const OriginState* only, const std::string& text);

/// The point that `text` means in the present chain.  What does not exist there is never matched to something else:
/// Error (Fault::chain_broken).
const Point& resolve_point(const OriginState& origin, std::string_view text);

} // namespace dmsnap
