// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "ops/take.h"
#include "point_words.h"
#include "session.h"

#include <fmt/format.h>
#include <limits>
#include <map>
#include <set>
#include <utility>

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
    wish.deadline = deadline_of(arguments);
    wish.data = data_of(arguments).value_or(Blob());
    for (const Tag& tag : tags_of(arguments, "addtag"))
        wish.tags.add(tag);
    return wish;
}

/// Nothing unless --store names a device.  Its uuid is to be drawn.
std::optional<StoreWish> read_store(const Arguments& arguments, const Machine& machine, const BlockDevice& origin)
{
    const std::string* path = arguments.value("store");
    if (path == nullptr)
        return std::nullopt;
    const BlockDevice device = resolve(*path);
    StoreWish wish{StoreFacts(), *path, {}, false};
    wish.facts.device = device;
    if (machine.find_store_on(device.number) == nullptr) // else it is in use as a store: nothing is overwritten
        wish.facts = read_store_facts(device, origin);
    return wish;
}

/// What was seen before there was any lock that others wait for, and the answer to a question if something may be lost.
struct FirstLook {
    std::vector<BlockDevice> origins;
    std::optional<StoreWish> store;
};

FirstLook look_and_ask(const Arguments& arguments)
{
    const auto dm = start();
    require_interface(*dm, false);
    FirstLook look;
    for (const std::string& spec : arguments.objects())
        look.origins.push_back(resolve(spec));
    try {
        // What it carries is the same for each of a set, not what stands against it besides.
        const Machine machine = survey(*dm);
        for (const BlockDevice& origin : look.origins)
            if (auto store = read_store(arguments, machine, origin);
                !look.store || only_signature_refuses(store->facts))
                look.store = std::move(store);
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
    const auto signature_alone = [](StoreFacts facts) {
        facts.to_origin = StackRelation::unrelated;
        facts.origin_block = facts.device.logical_block;
        return store_refusal(facts, false);
    };
    store->overwrite = asked->overwrite && signature_alone(asked->facts) == signature_alone(store->facts);
}

/// One point of one device or of several, from what the command line says and what is there.
class Taking {
public:
    struct Words {
        PointWish wish;
        std::optional<Sectors> chunk;
        Via via;
    };

    Taking(Change& change, const Arguments& arguments, Words words, std::optional<FirstLook> first)
        : change_(change), arguments_(arguments), words_(std::move(words)), first_(std::move(first))
    {
    }

    void run()
    {
        blocks_ = change_.hold(arguments_.objects());
        require_each_once();
        if (first_)
            for (std::size_t i = 0; i < blocks_.size(); ++i)
                if (!same_device(first_->origins[i], blocks_[i]))
                    throw Error(printable(arguments_.objects()[i]), "find the device",
                        "it has become another one meanwhile", "again");
        if (!renewed())
            return;
        const Plan steps = change_.plan([this](const Machine& machine) { return plan(machine); });
        const Outcome outcome = change_.carry_out(steps);
        for (std::size_t i = 0; i < outcome.taken.size(); ++i)
            log_info(fmt::format("{}: {} \"{}\" is {}, {}-consistent", blocks_[i].name(), to_text(words_.wish.kind),
                words_.wish.name.text(), outcome.taken[i].answer.point.text(),
                to_text(outcome.taken[i].answer.consistency)));
    }

private:
    /// A second point of a device would have the name of the first.
    void require_each_once() const
    {
        std::set<DeviceNumber> seen;
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            if (!seen.insert(blocks_[i].number).second)
                throw Error(printable(arguments_.objects()[i]), fmt::format("take a {}", to_text(words_.wish.kind)),
                    "the device is given twice", "each device once")
                    .as(Fault::usage);
    }

    std::optional<StoreWish> store_for(const Machine& machine, const BlockDevice& block)
    {
        auto store = read_store(arguments_, machine, block);
        if (!store)
            return store;
        if (first_)
            take_over_answer(first_->store, store);
        else
            store->overwrite = true;
        // Without the lock it would be in the way of who has it.
        if (!change_.dry_run() && machine.find_store_on(store->facts.device.number) == nullptr)
            store->facts.claimed = is_claimed(store->facts.device);
        return store;
    }

    Taker taker_for(const Machine& machine, const BlockDevice& block)
    {
        Taker taker;
        taker.via = words_.via;
        taker.chunk = words_.chunk;
        if (const auto before = renewed_.find(block.number); before != renewed_.end()) {
            taker.via = taker.via == Via::automatic ? Via::hook : taker.via;
            taker.chunk = taker.chunk.value_or(before->second);
        }
        taker.candidate = read_live(change_.dm(), block, taker.via);
        taker.point = Uuid::random();
        taker.store = store_for(machine, block);
        return taker;
    }

    Plan plan(const Machine& machine)
    {
        std::set<Uuid> drawn;
        const auto draw = [&] {
            for (;;)
                if (const Uuid uuid = draw_uuid(machine); drawn.insert(uuid).second)
                    return uuid;
        };
        const Uuid new_store = draw();
        std::vector<Taker> takers;
        for (const BlockDevice& block : blocks_) {
            takers.push_back(taker_for(machine, block));
            takers.back().new_origin = draw();
            if (takers.back().store)
                takers.back().store->new_store = new_store;
        }
        return plan_take(machine, words_.wish, takers);
    }

    /// Detaches what has another size than when the hook began to watch it, unless a snapshot would go with that, or the
    /// point that is to follow would be refused; it keeps its chunk size.  False: a dry run, which has shown that step.
    bool renewed()
    {
        const Plan renewal = change_.plan([this](const Machine& machine) -> Plan {
            Plan steps;
            Machine after = machine;
            renewed_.clear();
            for (const BlockDevice& block : blocks_) {
                const OriginState* origin = machine.find(block.number);
                Plan one = origin != nullptr ? plan_renewal(machine, *origin) : Plan();
                if (one.empty())
                    continue;
                renewed_[block.number] = origin->line.chunk;
                after = after.without(*origin);
                append(steps, std::move(one));
            }
            if (!steps.empty())
                plan(after);
            return steps;
        });
        if (renewal.empty())
            return true;
        for (const BlockDevice& block : blocks_)
            if (renewed_.contains(block.number))
                log_warning(fmt::format(
                    "{}: it has another size than when it was attached: it is attached anew, and its checkpoints end",
                    block.name()));
        change_.carry_out(renewal);
        return !change_.dry_run();
    }

    Change& change_;
    const Arguments& arguments_;
    Words words_;
    std::optional<FirstLook> first_;
    std::vector<BlockDevice> blocks_;         ///< as the objects of the command line
    std::map<DeviceNumber, Sectors> renewed_; ///< what is to be attached anew, and the chunk size it had
};

int take(const Arguments& arguments, PointKind kind)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    Taking::Words words{wish_of(arguments, kind), std::nullopt, via_of(arguments)};
    if (const std::string* size = arguments.value("chunksize"))
        words.chunk = checked_chunk(parse_size(*size, 'k'));
    std::optional<FirstLook> first;
    if (arguments.has("store") && !arguments.has("yes"))
        first = look_and_ask(arguments);
    Change change(arguments);
    Taking(change, arguments, std::move(words), std::move(first)).run();
    return exit_done;
}

int run_create(const Arguments& arguments) { return take(arguments, PointKind::snapshot); }

int run_checkpoint(const Arguments& arguments) { return take(arguments, PointKind::checkpoint); }

} // namespace

const Command create_command = {
    .name = "create",
    .synopsis = "-n|--name NAME [--store STORE] [-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] "
                "[--via auto|table|hook] [--deadline SECONDS] [OPTIONS] DEVICE...",
    .summary = "take a snapshot of live devices, of several at one instant",
    .options = create_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_create,
};

const Command checkpoint_command = {
    .name = "checkpoint",
    .synopsis = "-n|--name NAME [-c|--chunksize SIZE] [--data FILE|-] [--addtag TAG] [--via auto|table|hook] "
                "[--deadline SECONDS] [OPTIONS] DEVICE...",
    .summary = "take a point that keeps no data, for changed, of several devices at one instant",
    .options = checkpoint_options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_checkpoint,
};

} // namespace dmsnap::tool
