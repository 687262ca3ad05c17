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

} // namespace

Plan plan_rename(const Machine& machine, const OriginState& origin, const Point& point, const PointName& name)
{
    const std::string operation = fmt::format("rename it to \"{}\"", name.text());
    require_there(machine, origin, point, operation.c_str());
    if (name == point.name)
        return {};
    require_name_free(&origin, name, point.name.text(), operation);
    if (point.kind == PointKind::snapshot)
        require_name_unique(machine, &origin, name, point.set, point.name.text(), operation);

    const PointId id = origin.id_of(point);
    // The point first: its name is what an image is called by after a crash.
    Plan plan = {ChangePoint{origin.name(), {.point = id, .name = name}, {.point = id, .name = point.name}}};
    if (const ImageState* image = origin.image_of(point)) {
        Point after = point;
        after.name = name;
        const DmName renamed = image_name_of(origin, after);
        require_image_free(machine, renamed, point.name.text(), operation);
        plan.push_back(RenameImage{image->info.name, renamed, image->info.uuid});
        if (!machine.udev) {
            plan.push_back(RemoveLink{image_link(point.name, origin.device()), image->info.name});
            plan.push_back(MakeLink{image_link(name, origin.device()), renamed});
        }
    }
    return plan;
}

Plan plan_change(const Machine& machine, const OriginState& origin, const Point& point, const WordsWish& wish)
{
    require_there(machine, origin, point, "change it");
    Tags tags = point.tags;
    for (const Tag& tag : wish.remove)
        tags.remove(tag);
    for (const Tag& tag : wish.add)
        tags.add(tag);
    ChangeMessage change{origin.id_of(point)};
    ChangeMessage before = change;
    if (tags != point.tags) {
        change.tags = tags;
        before.tags = point.tags;
    }
    if (wish.data && *wish.data != point.data) {
        change.data = wish.data;
        before.data = point.data;
    }
    if (change == before)
        return {};
    return {ChangePoint{origin.name(), change, before}};
}

} // namespace dmsnap
