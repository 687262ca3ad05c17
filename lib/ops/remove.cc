// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/remove.h"

#include "base/error.h"
#include "base/text.h"
#include "ops/parts.h"

#include <algorithm>
#include <fmt/format.h>
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

Error chain_broken(const OriginState& origin, std::string_view text, std::string reason)
{
    return Error(origin.device().text(), fmt::format("find point \"{}\"", printable(text)), std::move(reason),
        "a full backup, and changes from there on")
        .as(Fault::chain_broken);
}

/// Whether they are one point, or those of one set.
bool one_set(const std::vector<FoundPoint>& found)
{
    const auto& set = found.front().point->set;
    const auto is_in_it = [&](const FoundPoint& other) { return other.point->set == set; };
    return found.size() == 1 || (set && std::all_of(found.begin(), found.end(), is_in_it));
}

template <typename Test> const Point* find_if(const OriginState& origin, Test test)
{
    const auto found = std::find_if(origin.points.begin(), origin.points.end(), test);
    return found != origin.points.end() ? &*found : nullptr;
}

} // namespace

Plan plan_remove(const Machine& machine, const std::vector<FoundPoint>& points, bool keep_point)
{
    Plan plan;
    Plan drops;
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
        drops.push_back(keep_point ? Step(Release{origin->name(), id}) : Step(Drop{origin->name(), id}));
        if (const auto store = origin->store(); store && last_snapshot(*origin, *point)) {
            drops.push_back(LeaveStore{origin->name(), *store});
            leaving[*store].push_back(origin);
        }
    }
    append(plan, std::move(drops));
    for (const auto& [store, origins] : leaving)
        append(plan, plan_close_store(machine, origins, store));
    return plan;
}

std::vector<FoundPoint> find_points(const Machine& machine, const OriginState* only, const std::string& name)
{
    const auto id = PointId::from_text(name);
    const auto uuid = Uuid::from_text(name);
    const bool by_name = !id && !uuid;
    if (by_name)
        PointName{name}; // throws for what is none
    std::vector<FoundPoint> found;
    const auto search = [&](const OriginState& origin) {
        const auto is_wanted = [&](const Point& point) {
            return id     ? origin.id_of(point) == *id
                   : uuid ? point.uuid == *uuid || point.set == uuid
                          : point.name.text() == name;
        };
        if (const Point* point = find_if(origin, is_wanted))
            found.push_back({&origin, point});
    };
    for (const OriginState& origin : machine.origins)
        if (only == nullptr || only == &origin)
            search(origin);
    if (only == nullptr)
        std::for_each(machine.gone.begin(), machine.gone.end(), search);
    if (found.empty() && only == nullptr && !machine.unread.empty())
        throw Error(name, "find it",
            fmt::format("it is nowhere else, and {} cannot be read: {}", machine.unread.front().subject(),
                machine.unread.front().reason()),
            machine.unread.front().next_step());
    if (found.empty())
        throw Error(name, "find it",
            only != nullptr ? only->device().text() + " has no such point" : "there is no such point",
            "dmsnap list shows what there is")
            .as(by_name ? Fault::failed : Fault::chain_broken);
    const auto is_another = [&](const FoundPoint& other) { return !one_set({found.front(), other}); };
    if (const auto other = std::find_if(found.begin() + 1, found.end(), is_another); other != found.end())
        throw Error(name, "find it",
            fmt::format("{} and {} have a point of that name", found.front().origin->device().text(),
                other->origin->device().text()),
            fmt::format("{}:{}, or a uuid that dmsnap list -o snap_name,origin,snap_uuid,snap_set shows",
                found.front().origin->device().text(), name));
    return found;
}

const Point& resolve_point(const OriginState& origin, std::string_view text)
{
    if (const auto id = PointId::from_text(text)) {
        if (id->generation != origin.status.generation)
            throw chain_broken(origin, text, "the device has been attached anew since: the generation changed");
        if (const Point* point = find_if(origin, [&](const Point& p) { return p.id == id->id; }))
            return *point;
    } else if (const auto uuid = Uuid::from_text(text)) {
        if (const Point* point = find_if(origin, [&](const Point& p) { return p.uuid == *uuid; }))
            return *point;
    } else if (const Point* point = find_if(origin, [&](const Point& p) { return p.name.text() == text; })) {
        return *point;
    }
    throw chain_broken(origin, text, "there is no such point in the present generation");
}

} // namespace dmsnap
