// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/remove.h"

#include "ops/parts.h"

#include <algorithm>
#include <map>
#include <utility>

namespace dmsnap {
namespace {

bool last_snapshot(const OriginState& origin, const Point& point)
{
    return point.kind == PointKind::snapshot &&
           std::none_of(origin.points.begin(), origin.points.end(),
               [&](const Point& p) { return p.kind == PointKind::snapshot && p.id != point.id; });
}

/// The first of them takes the message for all.
Step drop(const OriginState& first, const std::vector<SelectedPoint>& points, bool keep_point)
{
    const PointId point = points.front().point;
    const std::vector<SelectedPoint> others(points.begin() + 1, points.end());
    return keep_point ? Step(Release{first.name(), {point, others}}) : Step(Drop{first.name(), {point, others}});
}

} // namespace

Plan plan_remove(const Machine& machine, const std::vector<FoundPoint>& points, bool keep_point)
{
    Plan plan;
    Plan leave;
    const OriginState* first = nullptr;
    std::vector<SelectedPoint> going;
    std::map<Uuid, std::vector<const OriginState*>> leaving; // by store
    for (const auto& [origin, point] : points) {
        if (keep_point && point->kind == PointKind::checkpoint)
            continue;
        const PointId id = origin->id_of(*point);
        for (const ImageState& image : origin->images)
            if (image.line.point == id) {
                require_unused(image);
                append(plan, plan_remove_image(machine, image));
            }
        if (machine.has_ended(*origin))
            continue;
        first = first != nullptr ? first : origin;
        going.push_back({origin->line.origin, id});
        if (const auto store = origin->store(); store && last_snapshot(*origin, *point)) {
            leave.push_back(LeaveStore{origin->name(), *store, where_inside(machine, *origin, *store)});
            leaving[*store].push_back(origin);
        }
    }
    if (first != nullptr)
        plan.push_back(drop(*first, going, keep_point));
    append(plan, std::move(leave));
    for (const auto& [store, origins] : leaving)
        append(plan, plan_close_store(machine, origins, store));
    return with_files_last(std::move(plan));
}

} // namespace dmsnap
