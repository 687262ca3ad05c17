// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"

#include <functional>
#include <string>
#include <vector>

namespace dmsnap {

/// One row of a list: a point and what it is on.
struct ListedPoint {
    const Machine* machine;
    const OriginState* origin;
    const Point* point;
};

/// How a list shows its values.
struct ListStyle {
    char units = 'r';
    bool plain_bytes = false; ///< sizes are bytes without a letter, whatever `units` says
};

/// A field of a list.  The one table behind every format.
struct ListField {
    const char* id;
    const char* heading;
    const char* text;
    bool number;
    std::string (*value)(const ListedPoint&, const ListStyle&);
};

const std::vector<ListField>& list_fields();
/// What a list shows unless told.
inline constexpr const char* default_list_fields = "snap_name,origin,snap_attr,snap_size,snap_percent,snap_time";

/// Every point there is, by origin and then as they were taken.
std::vector<ListedPoint> listed_points(const Machine& machine);

/// Ten characters, the places those of lvs.
std::string attributes(const ListedPoint& row);

} // namespace dmsnap
