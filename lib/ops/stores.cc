// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/stores.h"

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

/// The store a snapshot will use, and the steps that make it ready.
struct ChosenStore {
    Uuid uuid;
    Plan prepare;
    Plan lay = {}; ///< once it has its base
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

/// Of a filesystem this part stays free: it is there to be written to.
constexpr std::uint64_t kept_free_percent = 5;

Error no_room(const Candidate& candidate, const std::string& reason)
{
    return Error(candidate.block.name(), "take a snapshot",
        "it has no store yet, and its own filesystem cannot hold one: " + reason,
        "--store DEVICE: a block device for the old data, whose content is lost")
        .as(Fault::usage);
}

Sectors round_up(Sectors length, Sectors unit) { return round_down(length + unit - Sectors{1}, unit); }

/// How much the store is to hold, its header included.
Sectors wanted_length(const StoreFileWish& wish, const Attachment& attached)
{
    const Sectors wanted =
        wish.size.value_or(Sectors{attached.length.count / 100 * wish.percent.value_or(default_store_percent)});
    return round_up(std::max(wanted, Sectors{INTERPOSE_STORE_SECTORS_MIN}), attached.chunk);
}

/// What is lost at the ends of its extents, which do not begin and end with chunks, as long as there are not too many.
Sectors file_length(Sectors length, Sectors chunk)
{
    return round_up(length + Sectors{length.count / 64 + 8 * chunk.count}, chunk);
}

const StoreRoom& require_room(const Candidate& candidate, const StoreFileWish& wish, Sectors needed)
{
    if (!wish.room)
        throw no_room(candidate, "none is mounted");
    const StoreRoom& room = *wish.room;
    if (room.type != "ext4" && room.type != "xfs")
        throw no_room(candidate, fmt::format("{} is of type {}, only ext4 and xfs can", room.mount_point, room.type));
    if (room.read_only)
        throw no_room(candidate, fmt::format("{} is mounted read-only", room.mount_point));
    const Bytes kept{room.size.count / 100 * kept_free_percent};
    if (room.free.count < kept.count + needed.bytes().count)
        throw no_room(
            candidate, fmt::format("of {}, {} would be needed and {} per cent left free, and {} are", room.mount_point,
                           exact_size(needed), kept_free_percent, show_size(room.free, 'r')));
    return room;
}

/// Past the origin whose filesystem has the file, but through everything below it.
void require_nothing_attached_below(const Machine& machine, const Candidate& candidate)
{
    const std::set<DeviceNumber> below = machine.through_endpoints(candidate.below);
    for (const OriginState& origin : machine.origins)
        if (below.contains(origin.number()))
            throw no_room(candidate, fmt::format("it lies on {}, which is attached", origin.device().text()));
}

ChosenStore make_store_file(const Machine& machine, const Taker& taker, const Attachment& attached)
{
    const StoreFileWish& wish = taker.file;
    const Sectors length = wanted_length(wish, attached);
    const Sectors needed = file_length(length, attached.chunk);
    const StoreRoom& room = require_room(taker.candidate, wish, needed);
    require_nothing_attached_below(machine, taker.candidate);
    if (!attached.below.empty() && std::holds_alternative<Prepare>(attached.below.front()))
        throw no_room(taker.candidate, "its table is a raid's, which does not run yet where the file would be written");
    const std::string path = store_file_path(room.mount_point, wish.new_store);
    const DmName file = file_name(wish.new_store);
    const DmName store = store_name(wish.new_store);
    for (const DmName& name : {file, store})
        if (machine.has_name(name))
            throw Error(path, "use it as store", name.text() + " exists already", "again");
    return {wish.new_store, {MakeStoreFile{path, needed, taker.candidate.block.number, wish.deadline}},
        {
            LayStoreFile{file, file_uuid(wish.new_store), wish.new_store, path, attached.base, attached.base_start,
                attached.chunk, length, attached.length, attached.name, attached.before},
            FormatStore{{file, "/dev/mapper/" + file.text(), wish.new_store, length, attached.chunk, true}},
            Create{{store, store_uuid(wish.new_store), {{Sectors{0}, length, InterposeStore{file, Sectors{0}}}},
                Visibility::private_device, false}},
        }};
}

ChosenStore use_device(
    const Machine& machine, const Candidate& candidate, const OriginState* origin, const StoreWish& wish, Sectors chunk)
{
    const StoreState* active = machine.find_store_on(wish.facts.device.number);
    if (active == nullptr)
        return make_store(machine, candidate, wish, chunk);
    if (!active->file.empty() && (origin == nullptr || origin->store() != active->status.store))
        throw Error(wish.path, "use it as store", "it is a file of another device's filesystem", "another device");
    return {active->status.store, {}};
}

/// Of the device itself, or the file that was wished for.
bool has_such_store(const Machine& machine, const OriginState* origin, const StoreFileWish& wish)
{
    if (origin == nullptr || !origin->store())
        return false;
    const StoreState* present = machine.find_store(*origin->store());
    return !wish.wanted || (present != nullptr && !present->file.empty());
}

ChosenStore choose_store(const Machine& machine, const Taker& taker, const OriginState* origin,
    const std::optional<StoreWish>& wish, const Attachment& attached, Sectors granule)
{
    const bool sized = taker.file.size || taker.file.percent;
    if (!wish && !has_such_store(machine, origin, taker.file))
        return make_store_file(machine, taker, attached);
    if (sized)
        throw Error(taker.candidate.block.name(), "take a snapshot",
            wish ? "a device is used as a store whole" : "it has a store already", "leave --size and --extents out")
            .as(Fault::usage);
    return wish ? use_device(machine, taker.candidate, origin, *wish, granule) : ChosenStore{*origin->store(), {}};
}

void require_store_works(const Machine& machine, const Uuid& store)
{
    const StoreState* state = machine.find_store(store);
    if (state != nullptr && state->status.state != INTERPOSE_STORE_OK)
        throw Error(state->info.name.text(), "keep old data", "the store has failed",
            state->file.empty() ? "dmsnap remove its snapshots, then create with --store and another device"
                                : "dmsnap remove its snapshots, then again");
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

} // namespace

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
        ChosenStore chosen =
            choose_store(machine, takers[i], origin, stays ? std::nullopt : takers[i].store, attachments[i], granule);
        if (const StoreState* active = machine.find_store(chosen.uuid); active != nullptr && active->file.empty())
            require_apart(machine, candidate, *active);
        require_store_works(machine, chosen.uuid);
        require_store_free_to_change(origin, chosen.uuid, machine);
        // A device is made a store once, for all of them; a file is each one's own.
        if (plan.prepare.empty() || !chosen.lay.empty())
            append(plan.prepare, std::move(chosen.prepare));
        plan.lay.push_back(std::move(chosen.lay));
        const auto before = origin != nullptr ? origin->store() : std::nullopt;
        if (before == chosen.uuid)
            continue;
        plan.use.push_back(UseStore{attachments[i].name, chosen.uuid, before,
            before ? where_inside(machine, *origin, *before) : std::vector<Run>()});
        if (before)
            left[*before].push_back(origin);
    }
    for (const auto& [store, origins] : left)
        append(plan.close, plan_close_store(machine, origins, store));
    return plan;
}

} // namespace dmsnap
