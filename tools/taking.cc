// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "taking.h"

#include "base/text.h"
#include "log.h"
#include "ops/overwrite.h"
#include "point_words.h"
#include "session.h"
#include "world/mounts.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <set>
#include <utility>

namespace dmsnap::tool {
namespace {

/// A filesystem takes longer to make a file than to be frozen: what it has to write it writes meanwhile.
constexpr int file_patience = 6;

/// Nothing unless a device is named.  Its uuid is to be drawn.
std::optional<StoreWish> read_store(
    const std::optional<std::string>& path, const Machine& machine, const BlockDevice& origin)
{
    if (!path)
        return std::nullopt;
    const BlockDevice device = resolve(*path);
    StoreWish wish{OverwriteFacts(), *path, {}, false};
    wish.facts.device = device;
    if (machine.find_store_on(device.number) == nullptr) // else it is in use as a store: nothing is overwritten
        wish.facts = read_overwrite_facts(device, origin);
    return wish;
}

FirstLook look_and_ask(const Arguments& arguments, const TakeWords& words)
{
    const auto dm = start();
    require_interface(*dm, false);
    FirstLook look;
    for (const std::string& spec : words.devices)
        look.origins.push_back(resolve(spec));
    try {
        // What it carries is the same for each of a set, not what stands against it besides.
        const Machine machine = survey(*dm);
        for (const BlockDevice& origin : look.origins)
            if (auto store = read_store(words.store, machine, origin);
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
    const auto signature_alone = [](OverwriteFacts facts) {
        facts.to_origin = StackRelation::unrelated;
        facts.origin_block = facts.device.logical_block;
        return store_refusal(facts, false);
    };
    store->overwrite = asked->overwrite && signature_alone(asked->facts) == signature_alone(store->facts);
}

/// One point of one device or of several, from what the command line says and what is there.
class Taking {
public:
    Taking(Change& change, const TakeWords& words, const std::optional<FirstLook>& first)
        : change_(change), words_(words), first_(first)
    {
    }

    std::vector<TakenPoint> run()
    {
        blocks_ = change_.hold(words_.devices);
        require_each_once();
        if (first_)
            for (std::size_t i = 0; i < blocks_.size(); ++i)
                if (!same_device(first_->origins[i], blocks_[i]))
                    throw Error(printable(words_.devices[i]), "find the device", "it has become another one meanwhile",
                        "again");
        if (!renewed())
            return {};
        try {
            return taken();
        } catch (const Error& error) {
            if (renewed_.empty())
                throw;
            for (const BlockDevice& block : blocks_)
                if (renewed_.contains(block.number))
                    log_warning(fmt::format("{}: it stays detached", block.name()));
            throw Error(error).as(Fault::not_undone);
        }
    }

private:
    std::vector<TakenPoint> taken()
    {
        const Plan steps = change_.plan([this](const Machine& machine) { return plan(machine); });
        for (const Step& step : steps)
            if (const auto* file = std::get_if<MakeStoreFile>(&step))
                log_progress(fmt::format(
                    "old data goes to a file, {}, of {}", printable(file->path), show_size(file->length.bytes(), 'r')));
        const Outcome outcome = change_.carry_out(steps);
        for (std::size_t i = 0; i < outcome.taken.size(); ++i)
            log_info(fmt::format("{}: {} \"{}\" is {}, {}-consistent", blocks_[i].name(), to_text(words_.wish.kind),
                words_.wish.name.text(), outcome.taken[i].answer.point.text(),
                to_text(outcome.taken[i].answer.consistency)));
        return outcome.taken;
    }

    /// A second point of a device would have the name of the first.
    void require_each_once() const
    {
        std::set<DeviceNumber> seen;
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            if (!seen.insert(blocks_[i].number).second)
                throw Error(printable(words_.devices[i]), fmt::format("take a {}", to_text(words_.wish.kind)),
                    "the device is given twice", "each device once")
                    .as(Fault::usage);
    }

    std::optional<StoreWish> store_for(const Machine& machine, const BlockDevice& block)
    {
        auto store = read_store(words_.store, machine, block);
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

    /// A filesystem is only asked where it may have to hold a store.
    StoreFileWish file_for(const Machine& machine, const BlockDevice& block) const
    {
        StoreFileWish wish{words_.directory.has_value(), std::nullopt, words_.size, words_.percent, {},
            file_patience * words_.wish.deadline};
        const OriginState* origin = machine.find(block.number);
        if (words_.wish.kind == PointKind::checkpoint || words_.store ||
            (origin != nullptr && origin->store() && !wish.wanted))
            return wish;
        wish.room = find_store_room(block);
        if (wish.wanted && devices_of_file(std::filesystem::canonical(*words_.directory)) != std::vector{block.number})
            throw Error(printable(*words_.directory), "make a store in it",
                fmt::format("it is on another device than {}, which a file can serve only from within", block.name()),
                "a block device");
        return wish;
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
        taker.file = file_for(machine, block);
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
            takers.back().file.new_store = draw();
            if (takers.back().store)
                takers.back().store->new_store = new_store;
        }
        return plan_take(machine, words_.wish, takers);
    }

    /// Detaches what has another size than when the hook began to watch it, unless a snapshot would go with that, or the
    /// point that is to follow would be refused; it keeps its chunk size.  False: a dry run, which has shown both.
    bool renewed()
    {
        Plan then;
        const Plan renewal = change_.plan([this, &then](const Machine& machine) -> Plan {
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
                then = plan(after);
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
        if (change_.dry_run())
            change_.carry_out(then);
        return !change_.dry_run();
    }

    Change& change_;
    const TakeWords& words_;
    const std::optional<FirstLook>& first_;
    std::vector<BlockDevice> blocks_;         ///< as words_.devices
    std::map<DeviceNumber, Sectors> renewed_; ///< what is to be attached anew, and the chunk size it had
};

/// "10%ORIGIN", as lvcreate has it.
unsigned parse_part(const std::string& text)
{
    const auto mark = text.find('%');
    const auto percent = parse_u32(text.substr(0, mark));
    std::string of = mark != std::string::npos ? text.substr(mark + 1) : std::string();
    std::transform(of.begin(), of.end(), of.begin(), [](unsigned char c) { return std::toupper(c); });
    if (!percent || *percent == 0 || *percent > 100 || of != "ORIGIN")
        throw Error("\"" + printable(text) + "\"", "use it as a size", "it is no part of the origin", "10%ORIGIN")
            .as(Fault::usage);
    return *percent;
}

} // namespace

TakeWords take_words(const Arguments& arguments, PointWish wish)
{
    TakeWords words{{}, std::move(wish), std::nullopt, std::nullopt, via_of(arguments)};
    words.wish.deadline = deadline_of(arguments);
    if (const std::string* store = arguments.value("store")) {
        std::error_code error;
        (std::filesystem::is_directory(*store, error) ? words.directory : words.store) = *store;
    }
    if (const std::string* size = arguments.value("chunksize"))
        words.chunk = checked_chunk(parse_size(*size, 'k'));
    if (const std::string* size = arguments.value("size"))
        words.size = parse_size(*size, 'm');
    if (const std::string* part = arguments.value("extents"))
        words.percent = parse_part(*part);
    if (words.size && words.percent)
        throw Error("--size and --extents", "use both", "they say the same thing", "one of them").as(Fault::usage);
    return words;
}

std::optional<FirstLook> first_look(const Arguments& arguments, const TakeWords& words)
{
    if (!words.store || arguments.has("yes"))
        return std::nullopt;
    return look_and_ask(arguments, words);
}

std::vector<TakenPoint> take(Change& change, const TakeWords& words, const std::optional<FirstLook>& first)
{
    return Taking(change, words, first).run();
}

} // namespace dmsnap::tool
