// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/change.h"

#include "base/error.h"
#include "ops/naming.h"
#include "ops/parts.h"

#include <fmt/format.h>

namespace dmsnap {
namespace {

/// A device whose generation has ended takes no message.
void require_there(const Machine& machine, const OriginState& origin, const Point& point, const char* operation)
{
    if (machine.has_ended(origin))
        throw Error(point.name.text(), operation, "its device was given another table, which ended it",
            fmt::format("dmsnap remove {}", point.name.text()));
}

/// To the step that changes the same, if there is one.
void add_change(Plan& plan, const OriginState& origin, const ChangeMessage& message, const ChangeMessage& before)
{
    for (Step& step : plan) {
        auto& change = std::get<ChangePoint>(step);
        const ChangeMessage& other = change.message;
        if (other.name != message.name || other.tags != message.tags || other.data != message.data)
            continue;
        change.names.push_back(origin.name());
        change.message.others.push_back({origin.line.origin, message.point});
        change.before.push_back(before);
        return;
    }
    plan.push_back(ChangePoint{{origin.name()}, message, {before}});
}

Plan plan_rename_image(const Machine& machine, const OriginState& origin, const Point& point, const PointName& name,
    const std::string& operation)
{
    const ImageState* image = origin.image_of(point);
    if (image == nullptr)
        return {};
    Point after = point;
    after.name = name;
    const DmName renamed = image_name_of(origin, after);
    require_image_free(machine, renamed, point.name.text(), operation);
    Plan plan = {RenameImage{image->info.name, renamed, image->info.uuid}};
    if (!machine.udev) {
        plan.push_back(RemoveLink{image_link(point.name, origin.device()), image->info.name});
        plan.push_back(MakeLink{image_link(name, origin.device()), renamed});
    }
    return plan;
}

} // namespace

Plan plan_rename(const Machine& machine, const std::vector<FoundPoint>& points, const PointName& name)
{
    const std::string operation = fmt::format("rename it to \"{}\"", name.text());
    Plan plan;
    Plan images; // after the points: their names are what images are called by after a crash
    for (const auto& [origin, point] : points) {
        require_there(machine, *origin, *point, operation.c_str());
        if (name == point->name)
            continue;
        require_name_free(origin, name, point->name.text(), operation);
        if (point->kind == PointKind::snapshot)
            require_name_unique(machine, origin, name, point->set, point->name.text(), operation);
        const PointId id = origin->id_of(*point);
        add_change(plan, *origin, {.point = id, .name = name}, {.point = id, .name = point->name});
        append(images, plan_rename_image(machine, *origin, *point, name, operation));
    }
    append(plan, std::move(images));
    return plan;
}

Plan plan_change(const Machine& machine, const std::vector<FoundPoint>& points, const WordsWish& wish)
{
    Plan plan;
    for (const auto& [origin, point] : points) {
        require_there(machine, *origin, *point, "change it");
        Tags tags = point->tags;
        for (const Tag& tag : wish.remove)
            tags.remove(tag);
        for (const Tag& tag : wish.add)
            tags.add(tag);
        ChangeMessage change{origin->id_of(*point)};
        ChangeMessage before = change;
        if (tags != point->tags) {
            change.tags = tags;
            before.tags = point->tags;
        }
        if (wish.data && *wish.data != point->data) {
            change.data = wish.data;
            before.data = point->data;
        }
        if (change != before)
            add_change(plan, *origin, change, before);
    }
    return plan;
}

} // namespace dmsnap
