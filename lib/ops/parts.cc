// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/parts.h"

#include "base/error.h"
#include "dm-interpose.h"
#include "ops/naming.h"
#include "table/file_table.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace dmsnap {
namespace {

bool has_image(const OriginState& origin, const DmName& name)
{
    return std::any_of(
        origin.images.begin(), origin.images.end(), [&](const ImageState& image) { return image.info.name == name; });
}

/// Images of all devices share one space of names.
Error image_name_taken(
    const Machine& machine, const DmName& name, const std::string& subject, const std::string& operation)
{
    for (const OriginState& origin : machine.origins)
        if (has_image(origin, name))
            return Error(subject, operation,
                fmt::format("{} has a snapshot of that name, whose image is {}", origin.device().text(), name.text()),
                "another name: images share one space of names");
    for (const OriginState& origin : machine.gone)
        if (has_image(origin, name))
            return Error(subject, operation,
                fmt::format("{} is the image of an ended snapshot, whose device was given another table", name.text()),
                fmt::format("dmsnap remove {}, or another name", origin.points.front().name.text()));
    return Error(subject, operation, fmt::format("a device-mapper device \"{}\" exists", name.text()), "another name");
}

/// A store's device, and the file it is, if it is one.
void append_close(Plan& plan, const Machine& machine, const Uuid& store)
{
    for (const std::string& uuid : {store_uuid(store), file_uuid(store)})
        if (const DeviceState* device = machine.find_device(uuid))
            plan.push_back(Remove{as_found(*device)});
    const StoreState* state = machine.find_store(store);
    if (state != nullptr && !state->path.empty())
        plan.push_back(RemoveStoreFile{state->path, state->holder, true});
}

} // namespace

void require_unused(const ImageState& image)
{
    if (image.info.open_count == 0)
        return;
    throw Error(image.info.name.text(), "remove it",
        image.users.empty() ? fmt::format("it is open {} times", image.info.open_count) : "it is " + image.users,
        "end that first, then again")
        .as(image.in_lasting_use ? Fault::failed : Fault::in_use);
}

void require_freezable(const Candidate& candidate, const std::string& operation)
{
    if (candidate.freeze.devices.size() > INTERPOSE_FREEZE_MAX)
        throw Error(candidate.block.name(), operation,
            fmt::format("{} filesystems lie on it, and no more than {} can be frozen", candidate.freeze.devices.size(),
                INTERPOSE_FREEZE_MAX),
            "umount some of them");
}

bool has_valid_snapshots(const OriginState& origin)
{
    return std::any_of(origin.points.begin(), origin.points.end(),
        [](const Point& point) { return point.kind == PointKind::snapshot && point.valid; });
}

NewDevice as_found(const DeviceState& device)
{
    return {device.info.name, device.info.uuid, device.table, Visibility::private_device, device.info.read_only};
}

DmName image_name_of(const OriginState& origin, const Point& point)
{
    if (!point.set)
        return image_name(point.name);
    // Its uuid, which nobody can change, tells how long the origin's name was.
    const ImageState* image = origin.image_of(point);
    const auto named =
        image != nullptr ? origin_of_image_name(image->info.name.text(), image->info.uuid) : std::nullopt;
    return image_name_in_set(point.name, named.value_or(origin.device()));
}

std::string image_uuid_of(const OriginState& origin, const Point& point)
{
    return point.set ? image_uuid_in_set(point.uuid, origin.device()) : image_uuid(point.uuid);
}

void require_name_unique(const Machine& machine, const OriginState* origin, const PointName& name,
    const std::optional<Uuid>& set, const std::string& subject, const std::string& operation)
{
    for (const OriginState& other : machine.origins) {
        const Point* point = &other != origin ? other.find(name) : nullptr;
        if (point == nullptr || point->kind != PointKind::snapshot || (set && point->set == set))
            continue;
        const ImageState* image = other.image_of(*point);
        throw Error(subject, operation,
            fmt::format("{} has a snapshot of that name{}", other.device().text(),
                image != nullptr ? ", whose image is " + image->info.name.text() : ""),
            "another name: snapshots of all devices share one space of names");
    }
}

void require_name_free(
    const OriginState* origin, const PointName& name, const std::string& subject, const std::string& operation)
{
    // A point can be named by its uuid too; a name must not be mistaken for one.
    if (Uuid::from_text(name.text()))
        throw Error(fmt::format("name \"{}\"", name.text()), "use it", "it looks like a uuid", "another name")
            .as(Fault::usage);
    if (origin != nullptr && origin->find(name) != nullptr)
        throw Error(subject, operation, "it has a point of that name", "another name");
}

void require_image_free(
    const Machine& machine, const DmName& image, const std::string& subject, const std::string& operation)
{
    if (machine.has_name(image))
        throw image_name_taken(machine, image, subject, operation);
}

Plan plan_remove_image(const Machine& machine, const ImageState& image)
{
    Plan plan;
    std::set<std::string> own; // by its device's present name, which the image need not have
    std::set<std::string> others;
    for (const OriginState& origin : machine.origins)
        for (const Point& point : origin.points)
            if (const ImageState* shown = origin.image_of(point))
                (shown->info.uuid == image.info.uuid ? own : others).insert(image_link(point.name, origin.device()));
    // By what is there: of an origin that is gone nobody knows the name any more.
    for (const std::string& link : machine.links)
        if (!machine.udev && (own.contains(link) || (is_link_of(link, image.info.name) && !others.contains(link))))
            plan.push_back(RemoveLink{link, image.info.name});
    plan.push_back(Remove{image.as_created()});
    return plan;
}

Plan plan_close_store(const Machine& machine, const std::vector<const OriginState*>& leaving, const Uuid& store)
{
    const StoreState* state = machine.find_store(store);
    // Not all origins could be read, perhaps: the store itself knows how many keep data there.
    if (state == nullptr || !state->status.details)
        return {};
    const auto leaves = static_cast<std::size_t>(std::count_if(
        leaving.begin(), leaving.end(), [&](const OriginState* origin) { return origin->store() == store; }));
    if (machine.users_of(store) > leaves || state->status.details->origins > leaves)
        return {};
    Plan plan;
    append_close(plan, machine, store);
    return plan;
}

Plan plan_close_files_on(const Machine& machine, DeviceNumber base)
{
    Plan plan;
    for (const DeviceState& device : machine.devices) {
        const auto store = store_of_file(device.info.uuid);
        const auto below = devices(device.table.empty() ? device.inactive : device.table);
        if (store && std::find(below.begin(), below.end(), DeviceRef(base)) != below.end())
            append_close(plan, machine, *store);
    }
    return plan;
}

std::optional<std::vector<Run>> where_inside(const Machine& machine, const OriginState& origin, const Uuid& store)
{
    const StoreState* state = machine.find_store(store);
    if (state == nullptr || state->file.empty())
        return std::vector<Run>();
    auto runs = runs_of(state->file, origin.line.base, origin.line.base_start);
    return runs.empty() ? std::nullopt : std::optional(std::move(runs));
}

Plan plan_close_all_stores(const Machine& machine)
{
    Plan plan;
    if (machine.origins.size() == 1 && machine.gone.empty() && machine.unread.empty())
        for (const StoreState& store : machine.stores)
            append_close(plan, machine, store.status.store);
    return plan;
}

} // namespace dmsnap
