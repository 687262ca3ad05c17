// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/clone.h"

#include "ops/attach.h"
#include "ops/remove.h"

#include <algorithm>

namespace dmsnap {

bool attaches_for_clone(const Machine& machine, DeviceNumber device)
{
    const OriginState* origin = machine.find(device);
    return origin == nullptr ||
           (!origin->points.empty() && std::all_of(origin->points.begin(), origin->points.end(),
                                           [](const Point& point) { return point.tags.has(Tag(clone_detach_tag)); }));
}

bool is_clone(const Point& point) { return point.tags.has(Tag(clone_tag)); }

bool is_dead_clone(const OriginState& origin, const Point& point)
{
    const ImageState* image = origin.image_of(point);
    return is_clone(point) && (image == nullptr ? point.images == 0 : image->info.open_count == 0);
}

Plan plan_end_clone(const Machine& machine, const OriginState& origin, const Point& point, bool detach)
{
    const bool alone = std::all_of(origin.points.begin(), origin.points.end(), [&](const Point& other) {
        return other.id == point.id || (is_dead_clone(origin, other) && other.tags.has(Tag(clone_detach_tag)));
    });
    if (detach && alone && !machine.is_gone(origin))
        return plan_detach(machine, origin, true);
    return plan_remove(machine, {{&origin, &point}}, false);
}

} // namespace dmsnap
