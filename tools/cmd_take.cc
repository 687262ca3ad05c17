// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "ops/take.h"
#include "point_words.h"
#include "session.h"

#include <fmt/format.h>
#include <functional>
#include <limits>
#include <set>

namespace dmsnap::tool {
namespace {

constexpr Option create_options[] = {
    {"name,n", "NAME", "the name of the snapshot"},
    {"store", "STORE", "the block device that takes the old data; its content is lost"},
    {"chunksize,c", "SIZE", "as in dmsnap attach, if the device is to be attached"},
    {"data", "FILE|-", "up to 256 bytes that the point carries"},
    {"addtag", "TAG", "a word to find it by; may be repeated"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
    {"via", "METHOD", "as in dmsnap attach, if the device is to be attached"},
};

constexpr Option checkpoint_options[] = {
    {"name,n", "NAME", "the name of the checkpoint"},
    {"chunksize,c", "SIZE", "as in dmsnap attach, if the device is to be attached"},
    {"data", "FILE|-", "up to 256 bytes that the point carries"},
    {"addtag", "TAG", "a word to find it by; may be repeated"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
    {"via", "METHOD", "as in dmsnap attach, if the device is to be attached"},
};

PointWish wish_of(const Arguments& arguments, PointKind kind)
{
    PointWish wish(kind, PointName(arguments.require("name")));
    if (const std::string* size = arguments.value("chunksize"))
        wish.chunk = checked_chunk(parse_size(*size, 'k'));
    wish.via = via_of(arguments);
    wish.deadline = deadline_of(arguments);
    wish.data = data_of(arguments).value_or(Blob());
    for (const Tag& tag : tags_of(arguments, "addtag"))
        wish.tags.add(tag);
    wish.uuid = Uuid::random();
    return wish;
}

/// Nothing unless --store names a device.
std::optional<StoreWish> read_store(const Arguments& arguments, const Machine& machine, const BlockDevice& origin)
{
    const std::string* path = arguments.value("store");
    if (path == nullptr)
        return std::nullopt;
    const BlockDevice device = resolve(*path);
    StoreWish wish{StoreFacts(), *path, draw_uuid(machine), false};
    wish.facts.device = device;
    if (machine.find_store_on(device.number) == nullptr) // else it is in use as a store: nothing is overwritten
        wish.facts = read_store_facts(device, origin);
    return wish;
}

/// What was seen before there was any lock that others wait for, and the answer to a question if something may be lost.
struct FirstLook {
    BlockDevice origin;
    std::optional<StoreWish> store;
};

FirstLook look_and_ask(const Arguments& arguments, const std::string& spec)
{
    const auto dm = start();
    require_interface(*dm, false);
    FirstLook look{resolve(spec), std::nullopt};
    try {
        look.store = read_store(arguments, survey(*dm), look.origin);
    } catch (const Error&) {
        return look; // what a dead command left may be in the way, and is mended before the second look
    }
    // Who may only be looking, as others do here, is outwaited under the lock.
    look.store->facts.users.processes.clear();
    if (only_signature_refuses(look.store->facts))
        look.store->overwrite = confirm(
            arguments, printable(look.store->path), "use it as store", *store_refusal(look.store->facts, false));
    return look;
}

/// An answer is to what was seen when it was asked for.
void take_over_answer(const std::optional<StoreWish>& asked, std::optional<StoreWish>& store)
{
    if (!asked || !store)
        return;
    if (!same_device(asked->facts.device, store->facts.device))
        throw Error(store->path, "use it as store", "it has become another device meanwhile", "again");
    store->overwrite = asked->overwrite && store_refusal(asked->facts, false) == store_refusal(store->facts, false);
}

/// Detaches a device that has another size than when the hook began to watch it, unless a snapshot would go with that, or
/// the point that is to follow would be refused; it keeps its chunk size.  False: a dry run, which has shown that step.
bool renewed(
    Change& change, const BlockDevice& block, PointWish& wish, const std::function<Plan(const Machine&)>& plan_on)
{
    const Plan plan = change.plan([&](const Machine& machine) -> Plan {
        const OriginState* origin = machine.find(block.number);
        Plan renewal = origin != nullptr ? plan_renewal(machine, *origin) : Plan();
        if (renewal.empty())
            return renewal;
        wish.chunk = wish.chunk.value_or(origin->line.chunk);
        if (wish.via == Via::automatic)
            wish.via = Via::hook;
        plan_on(machine.without(*origin));
        return renewal;
    });
    if (plan.empty())
        return true;
    log_warning(
        fmt::format("{}: it has another size than when it was attached: it is attached anew, and its checkpoints end",
            block.name()));
    change.carry_out(plan);
    return !change.dry_run();
}

/// Takes a point of one device; `first` if there was a look at its store.
void take(Change& change, const Arguments& arguments, const std::string& spec, PointWish wish,
    const std::optional<FirstLook>& first)
{
    const BlockDevice block = change.hold(spec);
    if (first && !same_device(first->origin, block))
        throw Error(printable(spec), "find the device", "it has become another one meanwhile", "again");
    const auto plan_on = [&](const Machine& machine) {
        auto store = read_store(arguments, machine, block);
        if (first)
            take_over_answer(first->store, store);
        else if (store)
            store->overwrite = true;
        // Without the lock it would be in the way of who has it.
        if (store && !change.dry_run() && machine.find_store_on(store->facts.device.number) == nullptr)
            store->facts.claimed = is_claimed(store->facts.device);
        wish.new_origin = draw_uuid(machine);
        return plan_take(machine, read_live(change.dm(), block, wish.via), wish, store);
    };
    if (!renewed(change, block, wish, plan_on))
        return;
    const Plan plan = change.plan(plan_on);
    const Outcome outcome = change.carry_out(plan);
    if (outcome.taken)
        log_info(fmt::format("{}: {} \"{}\" is {}, {}-consistent", block.name(), to_text(wish.kind), wish.name.text(),
            outcome.taken->point.text(), to_text(outcome.taken->consistency)));
}

int run_create(const Arguments& arguments)
{
    arguments.require_objects(1, 1);
    const std::string& spec = arguments.objects().front();
    const PointWish wish = wish_of(arguments, PointKind::snapshot);
    std::optional<FirstLook> first;
    if (arguments.has("store") && !arguments.has("yes"))
        first = look_and_ask(arguments, spec);
    Change change(arguments);
    take(change, arguments, spec, wish, first);
    return exit_done;
}

/// Nothing for what is not there: that is told when its turn comes.
std::optional<DeviceNumber> number_of(const std::string& spec)
{
    try {
        return resolve(spec).number;
    } catch (const Error&) {
        return std::nullopt;
    }
}

/// The second point of a device would have the name of the first.
void require_each_once(const std::vector<std::string>& specs)
{
    std::set<DeviceNumber> seen;
    for (const std::string& spec : specs)
        if (const auto number = number_of(spec); number && !seen.insert(*number).second)
            throw Error(printable(spec), "take a checkpoint", "the device is given twice", "each device once")
                .as(Fault::usage);
}

int run_checkpoint(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    const PointWish wish = wish_of(arguments, PointKind::checkpoint);
    Change change(arguments);
    require_each_once(arguments.objects());
    return for_each_object(arguments, [&](const std::string& spec) {
        PointWish own = wish;
        own.uuid = Uuid::random();
        take(change, arguments, spec, own, {});
    });
}

} // namespace

const Command create_command = {
    .name = "create",
    .synopsis = "-n|--name NAME [--store STORE] [-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] "
                "[--via auto|table|hook] [--deadline SECONDS] [OPTIONS] DEVICE",
    .summary = "take a snapshot of a live device",
    .options = create_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_create,
};

const Command checkpoint_command = {
    .name = "checkpoint",
    .synopsis = "-n|--name NAME [-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] [--via auto|table|hook] "
                "[--deadline SECONDS] [OPTIONS] DEVICE...",
    .summary = "take a point that keeps no data, for changed",
    .options = checkpoint_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_checkpoint,
};

} // namespace dmsnap::tool
