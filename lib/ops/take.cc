// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/take.h"

#include "base/error.h"
#include "ops/naming.h"
#include "ops/parts.h"
#include "ops/stores.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <utility>

namespace dmsnap {
namespace {

std::string operation_of(const PointWish& wish)
{
    return fmt::format("take {} \"{}\"", to_text(wish.kind), wish.name.text());
}

/// To write out a filesystem on a suspended device is to wait for whoever suspended it, and nothing ends that wait.
void require_running(const Machine& machine, const Candidate& candidate, const PointWish& wish)
{
    const std::string& device = candidate.block.name();
    // Nothing but a table shows that these are below a device with a hook.
    for (const OriginState& origin : machine.origins)
        if (origin.live && (origin.number() == candidate.block.number || candidate.below.count(origin.number()) != 0))
            for (const DmInfo* info : {&origin.info, origin.base ? &origin.base->info : &origin.info})
                if (info->suspended)
                    throw Error(device, operation_of(wish),
                        fmt::format("{}, through which it is written, is suspended", info->name.text()),
                        fmt::format("dmsetup resume {}, once you know who suspended it", info->name.text()));
    for (const EndpointState& endpoint : machine.endpoints)
        if (endpoint.live && candidate.below.contains(endpoint.live->number))
            for (const DmInfo* info : {&endpoint.info, endpoint.base ? &endpoint.base->info : &endpoint.info})
                if (info->suspended)
                    throw Error(device, operation_of(wish),
                        fmt::format("{}, through which it is written, is suspended", info->name.text()),
                        fmt::format("dmsetup resume {}, once you know who suspended it", info->name.text()));
    if (candidate.info && candidate.info->suspended)
        throw Error(device, operation_of(wish), "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", device));
    if (const auto& suspended = candidate.freeze.suspended; !suspended.empty())
        throw Error(device, operation_of(wish),
            fmt::format("{}, which its filesystems need, is suspended", suspended.front()),
            fmt::format("dmsetup resume {}, once you know who suspended it", suspended.front()));
}

/// Of a set, no member may lie on another: what the lower one is frozen for, the upper one would wait for.  Nor may two have
/// one name, which their images would share.
void require_set(const std::vector<Taker>& takers, const PointWish& wish)
{
    if (takers.size() > INTERPOSE_SET_MAX)
        throw Error(fmt::format("{} devices", takers.size()), operation_of(wish),
            fmt::format("no more than {} can have one point", INTERPOSE_SET_MAX), "a set for each group of them")
            .as(Fault::usage);
    for (const Taker& upper : takers)
        for (const Taker& lower : takers)
            if (upper.candidate.below.contains(lower.candidate.block.number))
                throw Error(upper.candidate.block.name(), operation_of(wish),
                    fmt::format("it lies on {}, which is to have the same point", lower.candidate.block.name()),
                    "one of the two alone");
    std::set<std::string> names;
    for (const Taker& taker : takers)
        if (!names.insert(taker.candidate.block.name()).second)
            throw Error(taker.candidate.block.name(), operation_of(wish), "two of the devices have that name",
                "one of the two alone");
    std::set<DeviceNumber> frozen;
    for (const Taker& taker : takers)
        frozen.insert(taker.candidate.freeze.devices.begin(), taker.candidate.freeze.devices.end());
    if (frozen.size() > INTERPOSE_FREEZE_MAX)
        throw Error(fmt::format("{} devices", takers.size()), operation_of(wish),
            fmt::format(
                "{} filesystems lie on them, and no more than {} can be frozen", frozen.size(), INTERPOSE_FREEZE_MAX),
            "umount some of them");
}

DmName image_name_for(const Taker& taker, const PointWish& wish, bool in_set)
{
    return in_set ? image_name_in_set(wish.name, DmName(taker.candidate.block.name())) : image_name(wish.name);
}

/// How one device comes to be attached.  Throws Error if no such point of it may be taken.
Attachment plan_taker(const Machine& machine, const Taker& taker, const PointWish& wish, bool in_set)
{
    const Candidate& candidate = taker.candidate;
    const OriginState* origin = machine.find(candidate.block.number);
    require_name_free(origin, wish.name, candidate.block.name(), operation_of(wish));
    if (wish.kind == PointKind::snapshot) {
        require_name_unique(machine, origin, wish.name, {}, candidate.block.name(), operation_of(wish));
        require_image_free(machine, image_name_for(taker, wish, in_set), candidate.block.name(), operation_of(wish));
    }
    require_freezable(candidate, operation_of(wish));
    require_running(machine, candidate, wish);
    return plan_attachment(machine, candidate, taker.new_origin,
        {.chunk = taker.chunk, .via = taker.via, .deadline = wish.deadline, .purpose = AttachFor::first_point});
}

Take take_of(const std::vector<Taker>& takers, const std::vector<Attachment>& attachments, const PointWish& wish)
{
    Take take{{}, {}, {wish.kind, wish.name, {}, wish.data, wish.deadline, wish.tags}};
    for (std::size_t i = 0; i < takers.size(); ++i) {
        take.names.push_back(attachments[i].name);
        take.devices.push_back(takers[i].candidate.block.name());
        take.write_limits.push_back(takers[i].candidate.write_limit);
        take.message.members.push_back({attachments[i].origin, takers[i].point, takers[i].candidate.freeze.devices});
    }
    return take;
}

Plan plan_image(
    const Machine& machine, const Taker& taker, const Attachment& attached, const PointWish& wish, bool in_set)
{
    const DmName image = image_name_for(taker, wish, in_set);
    const DmName origin(taker.candidate.block.name());
    Plan plan = {Create{{image, in_set ? image_uuid_in_set(taker.point, origin) : image_uuid(taker.point),
        {{Sectors{0}, attached.length, InterposeImage{attached.origin, std::nullopt}}}, Visibility::image, true}}};
    if (!machine.udev)
        plan.push_back(MakeLink{image_link(wish.name, origin), image});
    return plan;
}

} // namespace

Plan plan_take(const Machine& machine, const PointWish& wish, const std::vector<Taker>& takers)
{
    const bool in_set = takers.size() > 1;
    require_set(takers, wish);
    std::vector<Attachment> attachments;
    for (const Taker& taker : takers)
        attachments.push_back(plan_taker(machine, taker, wish, in_set));

    Plan plan;
    StorePlan stores;
    if (wish.kind == PointKind::snapshot)
        stores = plan_stores(machine, takers, attachments);
    append(plan, std::move(stores.prepare));
    for (std::size_t i = 0; i < attachments.size(); ++i) {
        append(plan, attachments[i].below);
        if (!stores.lay.empty())
            append(plan, std::move(stores.lay[i]));
        append(plan, attachments[i].plan);
    }
    append(plan, std::move(stores.use));
    std::vector<std::string> mount_points;
    for (const Taker& taker : takers)
        for (const std::string& target : taker.candidate.freeze.mount_points)
            if (std::find(mount_points.begin(), mount_points.end(), target) == mount_points.end())
                mount_points.push_back(target);
    if (!mount_points.empty())
        plan.push_back(SyncFilesystems{mount_points});
    plan.push_back(take_of(takers, attachments, wish));
    if (wish.kind == PointKind::snapshot)
        for (std::size_t i = 0; i < takers.size(); ++i)
            append(plan, plan_image(machine, takers[i], attachments[i], wish, in_set));
    append(plan, std::move(stores.close));
    return with_files_last(std::move(plan));
}

} // namespace dmsnap
