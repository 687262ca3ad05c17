// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/take.h"

#include "base/error.h"
#include "ops/naming.h"
#include "ops/overwrite.h"
#include "ops/parts.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <utility>

namespace dmsnap {
namespace {

/// Sizes of stores are whole blocks of this.
constexpr Sectors store_unit{8};

Sectors usable_length(const BlockDevice& device) { return round_down(device.size, store_unit); }

std::string operation_of(const PointWish& wish)
{
    return fmt::format("take {} \"{}\"", to_text(wish.kind), wish.name.text());
}

/// The store a snapshot will use, and the steps that make it ready.
struct ChosenStore {
    Uuid uuid;
    Plan prepare;
};

/// A store's writes must meet no origin: one that lies on its own, or two that lie on each other's, wait for ever.
void require_apart(const Machine& machine, const Candidate& candidate, const std::string& store,
    const std::set<DeviceNumber>& below_store)
{
    const std::set<DeviceNumber> below = machine.through_endpoints(below_store);
    const auto refused = [&](std::string reason) {
        return Error(store, "use it as store", std::move(reason), "another device");
    };
    if (below.count(candidate.block.number) != 0)
        throw refused(fmt::format("it lies on {}", candidate.block.name()));
    for (const OriginState& origin : machine.origins)
        if (below.count(origin.number()) != 0 || below.count(origin.info.number) != 0 ||
            (origin.base && below.count(origin.base->info.number) != 0))
            throw refused(fmt::format("it lies on {}, which is attached", origin.device().text()));
}

void require_apart(const Machine& machine, const Candidate& candidate, const StoreState& store)
{
    const auto* device = std::get_if<DeviceNumber>(&store.line.device);
    if (device != nullptr && candidate.below.count(*device) != 0)
        throw Error(
            store.device, "use it as store", fmt::format("{} lies on it", candidate.block.name()), "another device");
    require_apart(machine, candidate, store.device, store.below);
}

ChosenStore make_store(const Machine& machine, const Candidate& candidate, const StoreWish& wish, Sectors chunk)
{
    if (const auto reason = store_refusal(wish.facts, wish.overwrite))
        throw Error(wish.path, "use it as store", *reason,
            only_signature_refuses(wish.facts) ? "--yes, if that may be lost" : "another device")
            .as(may_pass(wish.facts) ? Fault::in_use : Fault::failed);
    require_apart(machine, candidate, wish.path, wish.facts.below);
    const DmName name = store_name(wish.new_store);
    if (machine.has_name(name))
        throw Error(wish.path, "use it as store", name.text() + " exists already", "again");
    const Sectors length = usable_length(wish.facts.device);
    return {wish.new_store, {
                                FormatStore{{wish.facts.device.number, wish.path, wish.new_store, length, chunk}},
                                Create{{name, store_uuid(wish.new_store),
                                    {{Sectors{0}, length, InterposeStore{wish.facts.device.number, Sectors{0}}}},
                                    Visibility::private_device, false}},
                            }};
}

ChosenStore choose_store(const Machine& machine, const Candidate& candidate, const OriginState* origin,
    const std::optional<StoreWish>& wish, Sectors chunk)
{
    if (wish) {
        const StoreState* active = machine.find_store_on(wish->facts.device.number);
        return active != nullptr ? ChosenStore{active->status.store, {}} : make_store(machine, candidate, *wish, chunk);
    }
    if (origin != nullptr && origin->store())
        return {*origin->store(), {}};
    throw Error(candidate.block.name(), "take a snapshot", "it has no store yet",
        "--store DEVICE: a block device for the old data, whose content is lost")
        .as(Fault::usage);
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

void require_store_works(const Machine& machine, const Uuid& store)
{
    const StoreState* state = machine.find_store(store);
    if (state != nullptr && state->status.state != INTERPOSE_STORE_OK)
        throw Error(state->info.name.text(), "keep old data", "the store has failed",
            "dmsnap remove its snapshots, then create with --store and another device");
}

/// " s1 s2"
std::string points_with_images(const OriginState& origin)
{
    std::string names;
    for (const Point& point : origin.points)
        if (origin.image_of(point) != nullptr)
            names += " " + point.name.text();
    return names;
}

void require_store_free_to_change(const OriginState* origin, const Uuid& wanted, const Machine& machine)
{
    if (origin == nullptr || !origin->store() || origin->store() == wanted)
        return;
    const StoreState* present = machine.find_store(*origin->store());
    if (origin->status.details->snapshots > 0)
        throw Error(origin->device().text(), "use another store",
            fmt::format(
                "its snapshots keep their data in {}", present != nullptr ? present->device : origin->store()->text()),
            "leave --store out");
    if (const std::string invalid = points_with_images(*origin); !invalid.empty())
        throw Error(origin->device().text(), "use another store",
            "its invalid snapshots still have images in the present one", "dmsnap remove" + invalid + ", then again");
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

/// The store that a device's old data has to stay in, whatever the others of a set are to use; nothing if it is free.
std::optional<Uuid> kept_store(const Machine& machine, const Taker& taker)
{
    const OriginState* origin = machine.find(taker.candidate.block.number);
    return origin != nullptr && has_valid_snapshots(*origin) ? origin->store() : std::nullopt;
}

/// Throws Error if a store is wished for that none of a set would use.
void require_store_wanted(const Machine& machine, const std::vector<Taker>& takers)
{
    const auto& wish = takers.front().store;
    if (!wish || takers.size() == 1)
        return;
    const StoreState* wished = machine.find_store_on(wish->facts.device.number);
    const auto stays_elsewhere = [&](const Taker& taker) {
        const auto kept = kept_store(machine, taker);
        return kept && (wished == nullptr || wished->status.store != *kept);
    };
    if (std::all_of(takers.begin(), takers.end(), stays_elsewhere))
        throw Error(
            wish->path, "use it as store", "all the devices keep their old data elsewhere", "leave --store out");
}

/// What is to be done about stores, in this order with the attaching between the first two.
struct StorePlan {
    Plan prepare;
    Plan use;
    Plan close; ///< those that nobody needs any more
};

StorePlan plan_stores(
    const Machine& machine, const std::vector<Taker>& takers, const std::vector<Attachment>& attachments)
{
    StorePlan plan;
    std::map<Uuid, std::vector<const OriginState*>> left; // by store
    Sectors granule = attachments.front().chunk;
    for (const Attachment& attached : attachments)
        granule = std::min(granule, attached.chunk);
    require_store_wanted(machine, takers);
    for (std::size_t i = 0; i < takers.size(); ++i) {
        const Candidate& candidate = takers[i].candidate;
        const OriginState* origin = machine.find(candidate.block.number);
        const bool stays = takers.size() > 1 && kept_store(machine, takers[i]);
        ChosenStore chosen = choose_store(machine, candidate, origin, stays ? std::nullopt : takers[i].store, granule);
        if (const StoreState* active = machine.find_store(chosen.uuid))
            require_apart(machine, candidate, *active);
        require_store_works(machine, chosen.uuid);
        require_store_free_to_change(origin, chosen.uuid, machine);
        if (plan.prepare.empty())
            plan.prepare = std::move(chosen.prepare);
        const auto before = origin != nullptr ? origin->store() : std::nullopt;
        if (before == chosen.uuid)
            continue;
        plan.use.push_back(UseStore{attachments[i].name, chosen.uuid, before});
        if (before)
            left[*before].push_back(origin);
    }
    for (const auto& [store, origins] : left)
        append(plan.close, plan_close_store(machine, origins, store));
    return plan;
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
    for (const Attachment& attached : attachments)
        append(plan, attached.plan);
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
    return plan;
}

} // namespace dmsnap
